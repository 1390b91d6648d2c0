"""The Python SDK (`mcp`) as a client of mcpmqtt over stdio.

usage: python_client.py auto|legacy COMMAND [ARGUMENT ...]

Runs the whole conversation in the given mode against the plant of the manual's sample
configuration (the one of `--demo`); the first answer that is wrong ends it with exit code 1.
"""

import asyncio
import json
import sys
from importlib.metadata import version

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

TOOLS = {"mqtt_publish", "mqtt_subscribe", "mqtt_read", "mqtt_query"}
RESOURCES = {"mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"}
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


def must(condition, what, seen):
    """An assertion that python -O does not remove."""
    if not condition:
        raise SystemExit(f"python_client: {what}; seen: {seen}")


async def structured(client, name, arguments):
    """Calls a tool that must succeed; its text must say what its structure says."""
    result = await client.call_tool(name, arguments)
    must(not result.is_error, f"{name} must succeed", result)
    must(
        json.loads(result.content[0].text) == result.structured_content,
        f"the text of {name} must equal its structure",
        result,
    )
    return result.structured_content


async def call_all_tools(client):
    listed = await client.list_tools()
    must({tool.name for tool in listed.tools} == TOOLS, "four tools must be listed", listed)

    sent = await structured(
        client, "mqtt_publish", {"topic": "actuators/lights/exampleroom1/on", "payload": "1", "qos": 1}
    )
    must(sent["outcome"] == "delivered" and sent["bytes"] == 1, "a publish must be delivered", sent)

    got = await structured(
        client, "mqtt_subscribe", {"topic": "sensors/+/temperature", "max_messages": 2, "timeout": 20}
    )
    must(got["messages_received"] == 2 == len(got["messages"]), "two messages must come", got)

    first = await structured(client, "mqtt_read", {"topic": "sensors/exampleroom1/temperature", "timeout": 20})
    must(float(first["payload"]) > -50, "a temperature must be read", first)

    reply = await structured(
        client,
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


async def read_all_resources(client):
    listed = await client.list_resources()
    must({str(one.uri) for one in listed.resources} == RESOURCES, "two resources must be listed", listed)
    for uri in RESOURCES:
        contents = (await client.read_resource(uri)).contents
        must(contents[0].mime_type == "application/json", "a resource must be JSON", contents)
        must("sensors/+/temperature" in contents[0].text, "it must name a pattern", contents)
        json.loads(contents[0].text)
    await client.list_resource_templates()
    await client.list_prompts()
    return 5


async def see_errors(client):
    refused = await client.call_tool("mqtt_publish", {"topic": "sensors/exampleroom1/temperature", "payload": "0"})
    must(refused.is_error, "a publish without permission must be an error", refused)
    must("not writable" in refused.content[0].text, "it must say why", refused)

    wrong = await client.call_tool("mqtt_read", {"topic": "sensors/exampleroom1/temperature", "timeout": "soon"})
    must(wrong.is_error and "timeout" in wrong.content[0].text, "a wrong argument must be named", wrong)

    for what, call in [
        ("an unknown tool", lambda: client.call_tool("mqtt_nope", {})),
        ("an unknown resource", lambda: client.read_resource("mcpmqtt://nope")),
    ]:
        try:
            answer = await call()
        except MCPError as error:
            must(error.code in (-32602, -32002), f"{what} must have its code", error)
        else:
            must(False, f"{what} must be a protocol error", answer)
    return 4


async def main():
    mode, command, *arguments = sys.argv[1:]
    server = StdioServerParameters(command=command, args=arguments)
    async with Client(server, mode=mode, read_timeout_seconds=60) as client:
        must(client.protocol_version == VERSIONS[mode], "the version must be agreed on", client.protocol_version)
        must(client.server_info.name == "mcpmqtt", "the server must say who it is", client.server_info)
        checks = 2 + await call_all_tools(client) + await read_all_resources(client) + await see_errors(client)
    print(f"Python SDK mcp {version('mcp')}, {mode} ({VERSIONS[mode]}): {checks} exchanges as they must be")


asyncio.run(main())
