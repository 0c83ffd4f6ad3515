// What the two TypeScript drivers share: the plan, the steps, the transcript.
//
// A driver is told by a plan (a JSON file, its only argument) which command to
// start, or which URL to go to, and what to ask. It opens a session as its SDK
// does by default, writes one line of JSON, the transcript, to standard output, keeps the session open
// until its standard input ends, then closes it and exits.

import { readFileSync } from "node:fs";

// The lists of a server, and the capability that announces each.
const LISTS = [
  ["tools/list", "tools", "listTools"],
  ["prompts/list", "prompts", "listPrompts"],
  ["resources/list", "resources", "listResources"],
  ["resources/templates/list", "resources", "listResourceTemplates"],
];

/**
 * Opens a session with the SDK's own client and transports, and plays the plan.
 * `callTool(client, params, options)` is how this SDK's client spells a call;
 * `options(plan)` are those of its client, where the plan asks for any.
 */
export async function drive(Client, transports, callTool, options = () => ({})) {
  const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
  const transport = open(plan, transports);
  let protocolVersion;
  // The client tells its transport which version was agreed; over HTTP, each request then names it.
  const agreed = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (version) => {
    protocolVersion = version;
    agreed?.(version);
  };
  const client = new Client({ name: "matrix", version: "1" }, { capabilities: {}, ...options(plan) });
  await client.connect(transport);
  const progress = watchProgress(transport);
  // One that did not shake hands tells its transport nothing.
  protocolVersion ??= client.getNegotiatedProtocolVersion?.();
  const transcript = await play(client, plan, protocolVersion, callTool, progress);
  process.stdout.write(`${JSON.stringify(transcript)}\n`);
  for await (const _ of process.stdin);
  await client.close();
}

function open(plan, { StdioClientTransport, StreamableHTTPClientTransport }) {
  if (plan.url) return new StreamableHTTPClientTransport(new URL(plan.url));
  const [command, ...args] = plan.command;
  return new StdioClientTransport({ command, args, env: plan.env });
}

/**
 * All progress that arrived, as it was on the wire. The SDK's callback misses what
 * arrives in one piece with the answer: it looks at the answer first.
 */
function watchProgress(transport) {
  const seen = [];
  const handle = transport.onmessage;
  transport.onmessage = (message, ...rest) => {
    if (message.method === "notifications/progress") seen.push(message.params);
    handle(message, ...rest);
  };
  return seen;
}

async function play(client, plan, protocolVersion, callTool, progress) {
  const capabilities = client.getServerCapabilities();
  const transcript = {
    initialize: {
      protocolVersion,
      capabilities,
      serverInfo: client.getServerVersion(),
      instructions: client.getInstructions(),
    },
  };
  for (const [method, capability, list] of LISTS) {
    if (capabilities[capability]) transcript[method] = await outcome(client[list]());
  }
  transcript.steps = [];
  for (const step of plan.steps) {
    progress.length = 0;
    const done = await outcome(ask(client, step, callTool));
    if (step.progress) done.progress = [...progress];
    transcript.steps.push(done);
  }
  return transcript;
}

async function outcome(promise) {
  try {
    return { result: await promise };
  } catch (error) {
    if (error.code === undefined) throw error;
    return { error: { code: error.code, message: error.message, data: error.data } };
  }
}

// Asynchronous, so that what the client refuses at once is an outcome, too.
async function ask(client, step, callTool) {
  const { method, name, uri } = step;
  const params = { name, arguments: step.arguments };
  if (method === "prompts/get") return client.getPrompt(params);
  if (method === "resources/read") return client.readResource({ uri });
  if (method !== "tools/call") throw new Error(`the plan asks for ${method}, which this driver does not know`);
  const options = step.progress ? { onprogress: () => {} } : undefined;
  return callTool(client, params, options);
}
