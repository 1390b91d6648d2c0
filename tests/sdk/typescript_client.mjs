// The TypeScript SDKs as clients of mcpmqtt over stdio.
//
// usage: node typescript_client.mjs auto|legacy|v1 COMMAND [ARGUMENT ...]
//
// `auto` and `legacy` are the modes of @modelcontextprotocol/client 2.x, `v1` is
// @modelcontextprotocol/sdk 1.x. Runs the whole conversation against the plant of the manual's
// sample configuration (the one of `--demo`); the first answer that is wrong ends it with exit
// code 1. The packages are looked for where it is run, not beside this file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [mode, command, ...args] = process.argv.slice(2);
const installed = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const load = (name) => import(pathToFileURL(installed.resolve(name)));
const versionOf = (name) =>
  JSON.parse(readFileSync(`${process.cwd()}/node_modules/${name}/package.json`, "utf8")).version;

const tools = ["mqtt_publish", "mqtt_query", "mqtt_read", "mqtt_subscribe"];
const resources = ["mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"];
const identity = { name: "mcpmqtt-test", version: "1.0.0" };

async function connect() {
  const parameters = { command, args };
  if (mode === "v1") {
    const name = "@modelcontextprotocol/sdk";
    const { Client } = await load(`${name}/client/index.js`);
    const { StdioClientTransport } = await load(`${name}/client/stdio.js`);
    const client = new Client(identity);
    const transport = new StdioClientTransport(parameters);
    let version;
    // The first SDK tells the agreed version to its transport only.
    transport.setProtocolVersion = (agreed) => (version = agreed);
    await client.connect(transport);
    return { client, name, version };
  }
  const name = "@modelcontextprotocol/client";
  const { Client } = await load(name);
  const { StdioClientTransport } = await load(`${name}/stdio`);
  const client = new Client(identity, { versionNegotiation: { mode } });
  await client.connect(new StdioClientTransport(parameters));
  return { client, name, version: client.getNegotiatedProtocolVersion() };
}

async function structured(client, name, input) {
  const result = await client.callTool({ name, arguments: input });
  assert.ok(!result.isError, `${name} must succeed: ${JSON.stringify(result)}`);
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return result.structuredContent;
}

async function callAllTools(client) {
  const listed = await client.listTools();
  assert.deepEqual(listed.tools.map((tool) => tool.name).sort(), tools);

  const topic = "actuators/lights/exampleroom2/off";
  const sent = await structured(client, "mqtt_publish", { topic, payload: "0", qos: 2 });
  assert.equal(sent.outcome, "delivered");

  const wanted = { topic: "sensors/+/temperature", max_messages: 2, timeout: 20 };
  const got = await structured(client, "mqtt_subscribe", wanted);
  assert.equal(got.messages_received, 2);
  assert.equal(got.messages.length, 2);

  const sensor = { topic: "sensors/exampleroom1/temperature", timeout: 20 };
  const first = await structured(client, "mqtt_read", sensor);
  assert.ok(Number(first.payload) > -50, `a temperature must be read: ${first.payload}`);

  const reply = await structured(client, "mqtt_query", {
    request_topic: "commands/exampleroom2/request",
    response_topic: "commands/exampleroom2/response",
    payload: "get_status",
    timeout: 20,
  });
  assert.ok(reply.payload.length > 0 && reply.latency_ms >= 0);
  return 5;
}

async function readAllResources(client) {
  const listed = await client.listResources();
  assert.deepEqual(listed.resources.map((resource) => resource.uri).sort(), resources);
  for (const uri of resources) {
    const { contents } = await client.readResource({ uri });
    assert.equal(contents[0].mimeType, "application/json");
    assert.ok(contents[0].text.includes("sensors/+/temperature"));
    JSON.parse(contents[0].text);
  }
  await client.listResourceTemplates();
  await client.listPrompts();
  return 5;
}

async function seeErrors(client) {
  const topic = "sensors/exampleroom1/temperature";
  const refused = await client.callTool({ name: "mqtt_publish", arguments: { topic, payload: "0" } });
  assert.equal(refused.isError, true);
  assert.match(refused.content[0].text, /not writable/);

  const wrong = await client.callTool({ name: "mqtt_read", arguments: { topic, timeout: "soon" } });
  assert.equal(wrong.isError, true);
  assert.match(wrong.content[0].text, /timeout/);

  const hasCode = (error) => error.code === -32602 || error.code === -32002;
  await assert.rejects(client.callTool({ name: "mqtt_nope", arguments: {} }), hasCode);
  await assert.rejects(client.readResource({ uri: "mcpmqtt://nope" }), hasCode);
  return 4;
}

const { client, name, version } = await connect();
assert.equal(version, mode === "auto" ? "2026-07-28" : "2025-11-25");
assert.equal(client.getServerVersion().name, "mcpmqtt");
const checks = 2 + (await callAllTools(client)) + (await readAllResources(client)) + (await seeErrors(client));
await client.close();
console.log(`TypeScript SDK ${name} ${versionOf(name)}, ${mode} (${version}): ${checks} exchanges as they must be`);
