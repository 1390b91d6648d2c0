// The TypeScript SDKs, connected to mcpmqtt: what their clients here share.
//
// The arguments of the process are MODE and then a command with its arguments, or the URL of a server. MODE is `auto` or
// `legacy` of @modelcontextprotocol/client 2.x, a version of MCP that it is to offer alone, or `v1` for
// @modelcontextprotocol/sdk 1.x. The packages are looked for where the process is run, not beside this file.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [given, command, ...args] = process.argv.slice(2);
const alone = /^\d/.test(given) ? given : undefined;
export const mode = alone ? "legacy" : given;
export const remote = command.startsWith("http:");

const installed = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const load = (name) => import(pathToFileURL(installed.resolve(name)));
export const versionOf = (name) =>
  JSON.parse(readFileSync(`${process.cwd()}/node_modules/${name}/package.json`, "utf8")).version;

const identity = { name: "mcpmqtt-test", version: "1.0.0" };

async function transportOf(name, key) {
  if (remote) {
    const path = mode === "v1" ? `${name}/client/streamableHttp.js` : name;
    const { StreamableHTTPClientTransport } = await load(path);
    const requestInit = { headers: { Authorization: `Bearer ${key}` } };
    return new StreamableHTTPClientTransport(new URL(command), { requestInit });
  }
  const { StdioClientTransport } = await load(mode === "v1" ? `${name}/client/stdio.js` : `${name}/stdio`);
  return new StdioClientTransport({ command, args });
}

// Connects. `answer` makes the result of an elicitation of its parameters and of the signal of its withdrawal; without it
// the client cannot be asked.
export async function connect(key, answer) {
  const name = `@modelcontextprotocol/${mode === "v1" ? "sdk" : "client"}`;
  const transport = await transportOf(name, key);
  const updates = new EventTarget();
  const heard = ({ params }) => updates.dispatchEvent(new CustomEvent("updated", { detail: params.uri }));
  const asked = ({ params }, { signal, mcpReq }) => answer(params, signal ?? mcpReq.signal);
  const capabilities = answer ? { elicitation: {} } : {};
  if (mode === "v1") {
    const { Client } = await load(`${name}/client/index.js`);
    const { ElicitRequestSchema, ResourceUpdatedNotificationSchema } = await load(`${name}/types.js`);
    const client = new Client(identity, { capabilities });
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, heard);
    if (answer) client.setRequestHandler(ElicitRequestSchema, asked);
    let version;
    // The first SDK tells the agreed version to its transport only.
    const setVersion = transport.setProtocolVersion?.bind(transport);
    transport.setProtocolVersion = (agreed) => {
      version = agreed;
      setVersion?.(agreed);
    };
    await client.connect(transport);
    return { client, name, version, updates };
  }
  const { Client } = await load(name);
  const versions = alone && { supportedProtocolVersions: [alone] };
  const client = new Client(identity, { capabilities, versionNegotiation: { mode }, ...versions });
  client.setNotificationHandler("notifications/resources/updated", heard);
  if (answer) client.setRequestHandler("elicitation/create", asked);
  await client.connect(transport);
  return { client, name, version: client.getNegotiatedProtocolVersion(), updates };
}
