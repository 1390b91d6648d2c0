"""What the SDKs of OpenAI, Google and Anthropic make of the tools for their models.

usage: converters.py COMMAND [ARGUMENT ...]

Each SDK starts the server over stdio (which must serve the plant of `--demo`), lists its tools and converts them with its
own code. What comes out must hold nothing that the API behind it refuses, and a tool so converted must be callable.
"""

import asyncio
import json
import sys
from importlib.metadata import version

from agents import RunContextWrapper
from agents.mcp import MCPServerStdio, MCPUtil
from anthropic.lib.tools.mcp import async_mcp_tool
from google.genai import _mcp_utils
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

TOOLS = [
    "mqtt_publish",
    "mqtt_subscribe",
    "mqtt_read",
    "mqtt_query",
    "mqtt_topics",
    "mqtt_wait",
    "mqtt_stats",
]
READ = {"topic": "status/system", "timeout": 5, "include_retained": True}
COMMON = {"type", "properties", "required", "items", "enum", "description", "default", "minimum", "maximum", "title"}


def must(condition, what, seen):
    """An assertion that python -O does not remove."""
    if not condition:
        raise SystemExit(f"converters: {what}; seen: {seen}")


def walk(place, schema, words, closed):
    """Holds each schema within it against the words that are known; an object is closed, or says nothing."""
    must(isinstance(schema, dict) and schema, f"{place} is no schema, or an empty one", schema)
    must(set(schema) <= words, f"{place} has words that are refused", set(schema) - words)
    must(isinstance(schema.get("type"), str), f"{place} has one type", schema)
    if schema["type"].lower() == "object":
        must(schema.get("properties"), f"{place} names its properties", schema)
        must(schema.get("additionalProperties") is (False if closed else None), f"{place} is closed: {closed}", schema)
    if closed and "properties" in schema:
        must(sorted(schema["required"]) == sorted(schema["properties"]), f"{place} requires all", schema)
    for name, one in schema.get("properties", {}).items():
        must(one.get("description"), f"{place}.{name} is described", one)
        walk(f"{place}.{name}", one, words, closed)
    if "items" in schema:
        walk(f"{place}[]", schema["items"], words, closed)


async def openai(command):
    async with MCPServerStdio(params={"command": command[0], "args": command[1:]}) as server:
        listed = await server.list_tools()
        must([tool.name for tool in listed] == TOOLS, "seven tools", listed)
        for tool in listed:
            made = MCPUtil.to_function_tool(tool, server, True)
            must(made.strict_json_schema, f"{tool.name} is converted to the strict mode", made)
            walk(f"openai {tool.name}", made.params_json_schema, COMMON | {"additionalProperties"}, True)
        reader = next(tool for tool in listed if tool.name == "mqtt_read")
        output = await MCPUtil.invoke_mcp_tool(server, reader, RunContextWrapper(None), json.dumps(READ))
        must("status/system" in str(output), "a call through the SDK", output)
    return f"openai-agents {version('openai-agents')}"


async def google(session, listed):
    made = _mcp_utils.mcp_to_gemini_tools(listed)
    must(len(made) == len(TOOLS), "all tools are converted", made)
    for tool in made:
        [declared] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)["functionDeclarations"]
        walk(f"google {declared['name']}", declared["parameters"], COMMON, False)
    # The same as the API of Vertex gets it: as it is.
    for tool in _mcp_utils.mcp_to_gemini_tools(listed, is_agent_platform=True):
        [declared] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)["functionDeclarations"]
        walk(f"google {declared['name']}", declared["parametersJsonSchema"], COMMON, False)
    return f"google-genai {version('google-genai')}"


async def anthropic(session, listed):
    made = {tool.name: async_mcp_tool(tool, session) for tool in listed}
    for name, tool in made.items():
        walk(f"anthropic {name}", tool.to_dict()["input_schema"], COMMON, False)
    # As frameworks on it do, that send every argument they know.
    output = await made["mqtt_read"].call({**READ, "timeout": None, "include_retained": None})
    must("status/system" in str(output), "a call through the SDK", output)
    return f"anthropic {version('anthropic')}"


async def main(command):
    print(f"  {await openai(command)}: strict schemas, a call")
    parameters = StdioServerParameters(command=command[0], args=command[1:])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        listed = (await session.list_tools()).tools
        must([tool.name for tool in listed] == TOOLS, "seven tools", listed)
        print(f"  {await google(session, listed)}: both kinds of declarations")
        print(f"  {await anthropic(session, listed)}: tools, a call")


asyncio.run(main(sys.argv[1:]))
