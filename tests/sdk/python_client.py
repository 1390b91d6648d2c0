"""The Python SDK (`mcp`) and `fastmcp` as clients of mcpmqtt.

usage: python_client.py CLIENT MODE COMMAND [ARGUMENT ...]    over stdio
       python_client.py CLIENT MODE http://HOST:PORT/mcp      over TCP
       python_client.py CLIENT MODE unix:PATH                 over a Unix socket

CLIENT is `mcp` or `fastmcp`, MODE is `auto` or `legacy`; over HTTP the environment variable
MCPMQTT_KEY has the key. Holds the whole conversation against the plant of the manual's sample
configuration (the one of `--demo`); the first answer that is wrong ends it with exit code 1.
"""

import asyncio
import json
import os
import sys
import uuid
import warnings
from contextlib import asynccontextmanager
from importlib.metadata import version

import fastmcp
import httpx2
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import ResourceUpdatedNotification

TOOLS = {
    "mqtt_publish",
    "mqtt_subscribe",
    "mqtt_read",
    "mqtt_query",
    "mqtt_topics",
    "mqtt_wait",
    "mqtt_stats",
}
RESOURCES = {"mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"}
TEMPLATE = "mqtt://topic/{+topic}"
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
PATIENCE = 60

# Of what only the newest version has not: the older ones are talked to on purpose.
warnings.simplefilter("ignore", MCPDeprecationWarning)


def must(condition, what, seen):
    """An assertion that python -O does not remove."""
    if not condition:
        raise SystemExit(f"python_client: {what}; seen: {seen}")


class Target:
    """Where the server is: a command to start, a URL, or a socket file."""

    def __init__(self, words):
        self.words = words
        self.answers = []
        self.is_remote = words[0].startswith(("http:", "unix:"))

    def http(self, key, **options):
        socket = self.words[0].removeprefix("unix:")
        if socket != self.words[0]:
            options["transport"] = httpx2.AsyncHTTPTransport(uds=socket)
        options.setdefault("timeout", httpx2.Timeout(PATIENCE))
        options["headers"] = {**options.get("headers", {}), "Authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(event_hooks={"response": [self.note]}, **options)

    async def note(self, response):
        """Keeps refusals, of which the SDK may not show the text."""
        if response.status_code >= 400:
            self.answers.append((response.status_code, (await response.aread()).decode()))

    @property
    def url(self):
        return "http://localhost/mcp" if self.words[0].startswith("unix:") else self.words[0]


class Sdk:
    """`mcp.Client`; `answer` makes the result of an elicitation of its parameters."""

    def __init__(self, target, mode, key, answer=None):
        self.heard = asyncio.Queue()
        if target.is_remote:
            server = streamable_http_client(target.url, http_client=target.http(key))
        else:
            server = StdioServerParameters(command=target.words[0], args=target.words[1:])
        options = {"mode": mode, "message_handler": self.hear}
        self.client = self.made(target, server, key, options, answer)

    def made(self, target, server, key, options, answer):
        async def elicited(context, params):
            return await answer(params)

        if answer:
            options["elicitation_callback"] = elicited
        return Client(server, read_timeout_seconds=PATIENCE, **options)

    async def hear(self, message):
        if isinstance(message, ResourceUpdatedNotification):
            self.heard.put_nowait(str(message.params.uri))

    async def tools(self):
        return (await self.client.list_tools()).tools

    async def resources(self):
        return (await self.client.list_resources()).resources

    async def templates(self):
        return (await self.client.list_resource_templates()).resource_templates

    async def prompts(self):
        return (await self.client.list_prompts()).prompts

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents

    async def call(self, name, arguments):
        return await self.client.call_tool(name, arguments)

    @asynccontextmanager
    async def followed(self, uri):
        """Gives a function that waits for the next update, in the way of the era."""
        session = self.client.session
        if self.client.protocol_version == VERSIONS["auto"]:
            async with listen(session, resource_subscriptions=[uri]) as events:
                must(events.honored.resource_subscriptions == [uri], "the wish must be granted", events.honored)
                yield lambda: anext(events)
        else:
            await session.subscribe_resource(uri)
            yield self.heard.get
            await session.unsubscribe_resource(uri)


class FastMcp(Sdk):
    """`fastmcp.Client`, which returns lists, and raises a tool's error unless told otherwise."""

    def made(self, target, server, key, options, answer):
        async def elicited(message, response_type, params, context):
            return await answer(params)

        if answer:
            options["elicitation_handler"] = elicited
        if target.is_remote:
            server = StreamableHttpTransport(
                target.url, httpx_client_factory=lambda headers=None, **_: target.http(key, headers=headers or {})
            )
        else:
            server = StdioTransport(command=target.words[0], args=target.words[1:])
        return fastmcp.Client(server, timeout=PATIENCE, **options)

    async def tools(self):
        return await self.client.list_tools()

    async def resources(self):
        return await self.client.list_resources()

    async def templates(self):
        return await self.client.list_resource_templates()

    async def prompts(self):
        return await self.client.list_prompts()

    async def read(self, uri):
        return await self.client.read_resource(uri)

    async def call(self, name, arguments):
        return await self.client.call_tool(name, arguments, raise_on_error=False)


CLIENTS = {"mcp": Sdk, "fastmcp": FastMcp}


async def structured(sdk, name, arguments):
    """Calls a tool that must succeed; its text must say what its structure says."""
    result = await sdk.call(name, arguments)
    must(not result.is_error, f"{name} must succeed", result)
    must(
        json.loads(result.content[0].text) == result.structured_content,
        f"the text of {name} must equal its structure",
        result,
    )
    return result.structured_content


async def call_all_tools(sdk):
    listed = await sdk.tools()
    must({tool.name for tool in listed} == TOOLS, "seven tools must be listed", listed)

    sent = await structured(
        sdk, "mqtt_publish", {"topic": "actuators/lights/exampleroom1/on", "payload": "1", "qos": 1}
    )
    must(sent["outcome"] == "delivered" and sent["bytes"] == 1, "a publish must be delivered", sent)

    got = await structured(sdk, "mqtt_subscribe", {"topic": "sensors/+/temperature", "max_messages": 2, "timeout": 20})
    must(got["messages_received"] == 2 == len(got["messages"]), "two messages must come", got)

    first = await structured(sdk, "mqtt_read", {"topic": "sensors/exampleroom1/temperature", "timeout": 20})
    must(float(first["payload"]) > -50, "a temperature must be read", first)

    reply = await structured(
        sdk,
        "mqtt_query",
        {
            "request_topic": "commands/exampleroom1/request",
            "response_topic": "commands/exampleroom1/response",
            "payload": "get_status",
            "timeout": 20,
        },
    )
    must(reply["payload"] and reply["latency_ms"] >= 0, "a query must be answered", reply)
    return 5


async def read_all_resources(sdk):
    listed = await sdk.resources()
    must({str(one.uri) for one in listed} == RESOURCES, "two resources must be listed", listed)
    for uri in RESOURCES:
        contents = await sdk.read(uri)
        must(contents[0].mime_type == "application/json", "a resource must be JSON", contents)
        must("sensors/+/temperature" in contents[0].text, "it must name a pattern", contents)
        json.loads(contents[0].text)
    templates = await sdk.templates()
    must([one.uri_template for one in templates] == [TEMPLATE], "one template must be listed", templates)
    contents = await sdk.read("mqtt://topic/sensors/exampleroom1/temperature")
    must(float(contents[0].text) > -50, "a topic must be readable as a resource", contents)
    must(await sdk.prompts() == [], "there are no prompts", None)
    return 6


async def follow_a_topic(sdk):
    """A sensor of `--demo` speaks by itself; elsewhere the note is written, which is emptied first, so that what
    is heard then is the new one."""
    allowed = (await sdk.read("mcpmqtt://topics/allowed"))[0].text
    if "notes/agent" not in allowed:
        return await follow(sdk, "mqtt://topic/sensors/exampleroom1/temperature")
    note = f"note {uuid.uuid4()}"
    publish = {"topic": "notes/agent", "payload": "", "qos": 1, "retain": True}
    await structured(sdk, "mqtt_publish", publish)
    seen = await follow(sdk, "mqtt://topic/notes/agent", structured(sdk, "mqtt_publish", {**publish, "payload": note}))
    contents = await sdk.read("mqtt://topic/notes/agent")
    must(contents[0].text == note, "the new note must be read", contents)
    return 3 + seen


async def follow(sdk, uri, change=None):
    async with sdk.followed(uri) as next_update:
        if change:
            await change
        update = await asyncio.wait_for(next_update(), PATIENCE)
        must(getattr(update, "uri", update) == uri, "an update must name the topic", update)
    return 2


async def see_errors(sdk):
    refused = await sdk.call("mqtt_publish", {"topic": "sensors/exampleroom1/temperature", "payload": "0"})
    must(refused.is_error, "a publish without permission must be an error", refused)
    must("not writable" in refused.content[0].text, "it must say why", refused)

    wrong = await sdk.call("mqtt_read", {"topic": "sensors/exampleroom1/temperature", "timeout": "soon"})
    must(wrong.is_error and "timeout" in wrong.content[0].text, "a wrong argument must be named", wrong)

    for what, call in [
        ("an unknown tool", lambda: sdk.call("mqtt_nope", {})),
        ("an unknown resource", lambda: sdk.read("mcpmqtt://nope")),
    ]:
        try:
            answer = await call()
        except MCPError as error:
            must(error.code in (-32602, -32002), f"{what} must have its code", error)
        else:
            must(False, f"{what} must be a protocol error", answer)
    must(await sdk.tools(), "the connection must survive all that", None)
    return 5


def leaves(error):
    """What really happened, without the groups around it."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [f"{type(error).__name__}: {error}"]


async def be_refused(target, sdk):
    """A wrong key must be told as such, and soon."""
    try:
        async with asyncio.timeout(PATIENCE), sdk.client:
            pass
    except Exception as error:
        must(target.answers, "a wrong key must be answered", leaves(error))
        for status, text in target.answers:
            must(status == 401 and "wrong API key" in text, "a wrong key must be told as such", target.answers)
        return len(target.answers)
    must(False, "a wrong key must not come in", sdk.client)


async def main():
    name, mode, *words = sys.argv[1:]
    target, key = Target(words), os.environ.get("MCPMQTT_KEY", "")
    sdk = CLIENTS[name](target, mode, key)
    async with sdk.client as client:
        must(client.protocol_version == VERSIONS[mode], "the version must be agreed on", client.protocol_version)
        must(client.server_info.name == "mcpmqtt", "the server must say who it is", client.server_info)
        checks = 2 + await call_all_tools(sdk) + await read_all_resources(sdk)
        checks += await follow_a_topic(sdk) + await see_errors(sdk)
    if target.is_remote:
        stranger = Target(words)
        checks += await be_refused(stranger, CLIENTS[name](stranger, mode, f"not-{key}"))
    print(f"Python SDK {name} {version(name)}, {mode} ({VERSIONS[mode]}): {checks} exchanges as they must be")


if __name__ == "__main__":
    asyncio.run(main())
