// What the TypeScript SDKs show of a server that cannot start.
//
// usage: node failed_start.mjs auto|legacy|v1 COMMAND [ARGUMENT ...]
//
// Prints the error in one line; a connection is one, too. The packages are looked for where it is run.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [mode, command, ...args] = process.argv.slice(2);
const installed = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const load = (name) => import(pathToFileURL(installed.resolve(name)));
const name = `@modelcontextprotocol/${mode === "v1" ? "sdk" : "client"}`;
const { StdioClientTransport } = await load(mode === "v1" ? `${name}/client/stdio.js` : `${name}/stdio`);
const { Client } = await load(mode === "v1" ? `${name}/client/index.js` : name);
const identity = { name: "mcpmqtt-test", version: "1.0.0" };
const client = mode === "v1" ? new Client(identity) : new Client(identity, { versionNegotiation: { mode } });
try {
  await client.connect(new StdioClientTransport({ command, args, stderr: "ignore" }));
  throw new Error("the client says it is connected");
} catch (error) {
  console.log(String(error).replaceAll("\n", " "));
}
