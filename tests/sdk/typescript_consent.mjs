// The TypeScript SDKs as clients whose writes need consent.
//
// usage: node typescript_consent.mjs auto|legacy|v1|VERSION COMMAND [ARGUMENT ...]    over stdio
//        node typescript_consent.mjs auto|legacy|v1|VERSION http://HOST:PORT/mcp      over TCP
//
// VERSION is one before 2026-07-28. The topics are those of `consent_config` in scripts/common.sh, whose operator agrees to
// everything but `closed`. What is published is for the caller to watch.

import assert from "node:assert/strict";
import { once } from "node:events";

import { connect, mode, versionOf } from "./typescript_sdk.mjs";

const key = process.env.MCPMQTT_KEY;
const asked = [];
let withdrawals = 0;

// What a person does with the form: the payload says it.
const answers = {
  agreed: (box) => ({ action: "accept", content: { [box]: true } }),
  unticked: (box) => ({ action: "accept", content: { [box]: false } }),
  declined: () => ({ action: "decline" }),
  cancelled: () => ({ action: "cancel" }),
  unanswered: nothing,
};

// Says nothing until the question is withdrawn. In rounds nobody would withdraw it: there it is closed.
async function nothing(_box, withdrawn) {
  if (mode !== "auto") await once(withdrawn, "abort", { signal: AbortSignal.timeout(60_000) });
  withdrawals += 1;
  return { action: "cancel" };
}

function answer({ message, requestedSchema }, withdrawn) {
  const [, payload] = message.match(/^Topic: `line\/(?:lamp|gate)\/set`\nPayload: `(\w+)` \(\d+ bytes, QoS 1\)$/m);
  assert.match(message, /^Caller: `\w+`, which calls itself `mcpmqtt-test 1.0.0`$/m);
  const [[box, { type }], ...others] = Object.entries(requestedSchema.properties);
  assert.deepEqual([type, others], ["boolean", []]);
  asked.push(payload);
  return answers[payload](box, withdrawn);
}

const publish = (client, topic, payload) =>
  client.callTool({ name: "mqtt_publish", arguments: { topic, payload, qos: 1 } });

async function delivered(client, topic, payload) {
  const result = await publish(client, topic, payload);
  assert.equal(result.structuredContent?.outcome, "delivered", JSON.stringify(result));
}

async function refused(client, topic, payload, why) {
  const result = await publish(client, topic, payload);
  assert.equal(result.isError, true, JSON.stringify(result));
  assert.ok(result.content[0].text.includes(why), result.content[0].text);
  assert.match(result.content[0].text, /Nothing was sent/);
}

const lamp = "line/lamp/set";
const able = await connect(key, answer);
await refused(able.client, lamp, "declined", "the person at the client did not agree");
await refused(able.client, lamp, "unticked", "the person at the client did not agree");
await refused(able.client, lamp, "cancelled", "the person at the client closed the question without an answer");
await delivered(able.client, lamp, "agreed");
// Here the operator agrees.
await delivered(able.client, "line/gate/set", "cancelled");
await delivered(able.client, "line/gate/set", "unanswered");
await able.client.listTools();
assert.equal(withdrawals, 1);
assert.deepEqual(asked, ["declined", "unticked", "cancelled", "agreed", "cancelled", "unanswered"]);
await able.client.close();

const unable = await connect(key);
await refused(unable.client, lamp, "agreed", "it did not declare the capability `elicitation`. A client with form elicitation");
await delivered(unable.client, "line/valve/set", "open");
await refused(unable.client, "line/valve/set", "closed", "the operator did not agree (`Ana`)");
await unable.client.close();

const { name, version } = able;
assert.equal(unable.version, version);
const era = mode === "auto" ? "2026-07-28" : /^\d/.test(process.argv[2]) ? process.argv[2] : "2025-11-25";
assert.equal(version, era);
console.log(`TypeScript SDK ${name} ${versionOf(name)}, ${process.argv[2]} (${version}): 9 writes with consent as they must be`);
