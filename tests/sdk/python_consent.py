"""The Python SDK (`mcp`) and `fastmcp` as clients whose writes need consent.

The arguments are those of python_client.py. The topics are those of `consent_config` in scripts/common.sh, whose operator
agrees to everything but `closed`. What is published is for the caller to watch.
"""

import asyncio
import os
import re
import sys
from importlib.metadata import version

from mcp_types import ElicitResult

from python_client import CLIENTS, PATIENCE, VERSIONS, Target, must

# A person at the client agrees to the first, the operator to the second, one of them to the third.
LAMP, VALVE, GATE = "line/lamp/set", "line/valve/set", "line/gate/set"

# What a person does with the form: the payload says it.
ANSWERS = {
    "agreed": lambda box: ElicitResult(action="accept", content={box: True}),
    "unticked": lambda box: ElicitResult(action="accept", content={box: False}),
    "declined": lambda box: ElicitResult(action="decline"),
    "cancelled": lambda box: ElicitResult(action="cancel"),
}
QUESTION = re.compile(rf"^Topic: `(?:{LAMP}|{GATE})`\nPayload: `(\w+)` \(\d+ bytes, QoS 1\)$", re.MULTILINE)
CALLER = re.compile(r"^Caller: `\w+`, which calls itself `mcp \S+`$", re.MULTILINE)


class Person:
    """Who sits at the client."""

    def __init__(self, in_rounds):
        self.asked = []
        self.in_rounds = in_rounds
        self.told_off = asyncio.Event()

    async def answer(self, params):
        question = QUESTION.search(params.message)
        must(question and CALLER.search(params.message), "the question must say what and who", params.message)
        [(box, field)] = params.requested_schema["properties"].items()
        must(field["type"] == "boolean", "the form must have one box", params.requested_schema)
        self.asked.append(question[1])
        if question[1] == "unanswered":
            return await self.nothing()
        return ANSWERS[question[1]](box)

    async def nothing(self):
        """Says nothing until the question is withdrawn. In rounds nobody would withdraw it: there it is closed."""
        try:
            await asyncio.sleep(0 if self.in_rounds else PATIENCE)
        except asyncio.CancelledError:
            self.told_off.set()
            raise
        return ElicitResult(action="cancel")


async def publish(sdk, topic, payload):
    return await sdk.call("mqtt_publish", {"topic": topic, "payload": payload, "qos": 1})


async def delivered(sdk, topic, payload):
    result = await publish(sdk, topic, payload)
    must(not result.is_error and result.structured_content["outcome"] == "delivered", "it must be delivered", result)


async def refused(sdk, topic, payload, why):
    result = await publish(sdk, topic, payload)
    must(result.is_error, f"{payload} must be refused", result)
    text = result.content[0].text
    must(why in text and "Nothing was sent" in text, "it must say why", text)


async def main():
    name, mode, *words = sys.argv[1:]
    key, person = os.environ.get("MCPMQTT_KEY", ""), Person(in_rounds=mode == "auto")
    able = CLIENTS[name](Target(words), mode, key, person.answer)
    async with able.client as client:
        must(client.protocol_version == VERSIONS[mode], "the version must be agreed on", client.protocol_version)
        await refused(able, LAMP, "declined", "the person at the client did not agree")
        await refused(able, LAMP, "unticked", "the person at the client did not agree")
        await refused(able, LAMP, "cancelled", "the person at the client closed the question without an answer")
        await delivered(able, LAMP, "agreed")
        await delivered(able, GATE, "cancelled")
        await delivered(able, GATE, "unanswered")
        if not person.in_rounds:
            await asyncio.wait_for(person.told_off.wait(), PATIENCE)
    expected = ["declined", "unticked", "cancelled", "agreed", "cancelled", "unanswered"]
    must(person.asked == expected, "each must be asked once", person.asked)
    unable = CLIENTS[name](Target(words), mode, key)
    async with unable.client as client:
        must(client.protocol_version == VERSIONS[mode], "the version must be agreed on", client.protocol_version)
        why = "it did not declare the capability `elicitation`. A client with form elicitation"
        await refused(unable, LAMP, "agreed", why)
        await delivered(unable, VALVE, "open")
        await refused(unable, VALVE, "closed", "the operator did not agree (`Ana`)")
    print(f"Python SDK {name} {version(name)}, {mode} ({VERSIONS[mode]}): 9 writes with consent as they must be")


asyncio.run(main())
