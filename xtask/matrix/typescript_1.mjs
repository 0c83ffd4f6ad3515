// A session of the TypeScript SDK 1.x, as its examples open one.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { drive } from "./plan.mjs";

const transports = { StdioClientTransport, StreamableHTTPClientTransport };
await drive(Client, transports, (client, params, options) =>
  client.callTool(params, undefined, options),
);
