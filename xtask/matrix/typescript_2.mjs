// A session of the TypeScript client v2, as its examples open one.
//
// By default it greets the server the legacy way, without asking whether it is
// modern. A plan may say `era: auto`: then it asks first.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { drive } from "./plan.mjs";

await drive(
  Client,
  { StdioClientTransport, StreamableHTTPClientTransport },
  (client, params, options) => client.callTool(params, options),
  (plan) => (plan.era === "auto" ? { versionNegotiation: { mode: "auto" } } : {}),
);
