// A session of the TypeScript client v2, as its examples open one.

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { drive } from "./plan.mjs";

await drive(Client, StdioClientTransport, (client, params, options) =>
  client.callTool(params, options),
);
