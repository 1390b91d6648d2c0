// The TypeScript SDKs as clients of mcpmqtt.
//
// usage: node typescript_client.mjs auto|legacy|v1 COMMAND [ARGUMENT ...]    over stdio
//        node typescript_client.mjs auto|legacy|v1 http://HOST:PORT/mcp      over TCP
//
// `auto` and `legacy` are the modes of @modelcontextprotocol/client 2.x, `v1` is
// @modelcontextprotocol/sdk 1.x; over HTTP the environment variable MCPMQTT_KEY has the key. Holds
// the whole conversation against the plant of the manual's sample configuration (the one of
// `--demo`); the first answer that is wrong ends it with exit code 1. The packages are looked for
// where it is run, not beside this file.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";

import { connect, mode, remote, versionOf } from "./typescript_sdk.mjs";

const tools = [
  "mqtt_publish",
  "mqtt_query",
  "mqtt_read",
  "mqtt_stats",
  "mqtt_subscribe",
  "mqtt_topics",
  "mqtt_wait",
];
const resources = ["mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"];
const template = "mqtt://topic/{+topic}";
const patience = 60_000;

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
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.deepEqual(resourceTemplates.map((one) => one.uriTemplate), [template]);
  const { contents } = await client.readResource({ uri: "mqtt://topic/sensors/exampleroom1/temperature" });
  assert.ok(Number(contents[0].text) > -50, `a topic must be readable as a resource: ${contents[0].text}`);
  assert.deepEqual((await client.listPrompts()).prompts, []);
  return 6;
}

// A sensor of `--demo` speaks by itself; elsewhere the note is written, which is emptied first, so
// that what is heard then is the new one.
async function followATopic(client, updates) {
  const allowed = await client.readResource({ uri: resources[0] });
  if (!allowed.contents[0].text.includes("notes/agent")) {
    return follow(client, updates, "mqtt://topic/sensors/exampleroom1/temperature", async () => {});
  }
  const uri = "mqtt://topic/notes/agent";
  const payload = `note ${randomUUID()}`;
  const note = { topic: "notes/agent", qos: 1, retain: true };
  await structured(client, "mqtt_publish", { ...note, payload: "" });
  const write = () => structured(client, "mqtt_publish", { ...note, payload });
  const seen = await follow(client, updates, uri, write);
  const { contents } = await client.readResource({ uri });
  assert.equal(contents[0].text, payload);
  return 3 + seen;
}

async function follow(client, updates, uri, change) {
  const listening = mode === "auto" && (await client.listen({ resourceSubscriptions: [uri] }));
  if (listening) assert.deepEqual(listening.honoredFilter.resourceSubscriptions, [uri]);
  else await client.subscribeResource({ uri });
  const update = once(updates, "updated", { signal: AbortSignal.timeout(patience) });
  await change();
  assert.equal((await update)[0].detail, uri);
  await (listening ? listening.close() : client.unsubscribeResource({ uri }));
  return 2;
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
  assert.ok((await client.listTools()).tools.length > 0, "the connection must survive all that");
  return 5;
}

// A wrong key must be told as such; looking for the version, the SDK keeps the sentence for itself.
async function beRefused() {
  const says = (error) => /wrong API key|HTTP 401/.test(error.message) || assert.fail(`a wrong key: ${error}`);
  await assert.rejects(connect(`not-${process.env.MCPMQTT_KEY}`), says);
  return 1;
}

const { client, name, version, updates } = await connect(process.env.MCPMQTT_KEY);
assert.equal(version, mode === "auto" ? "2026-07-28" : "2025-11-25");
assert.equal(client.getServerVersion().name, "mcpmqtt");
let checks = 2 + (await callAllTools(client)) + (await readAllResources(client));
checks += (await followATopic(client, updates)) + (await seeErrors(client));
await client.close();
if (remote) checks += await beRefused();
console.log(`TypeScript SDK ${name} ${versionOf(name)}, ${mode} (${version}): ${checks} exchanges as they must be`);
