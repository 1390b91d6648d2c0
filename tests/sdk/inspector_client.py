"""MCP Inspector's command line as a client of mcpmqtt over HTTP.

usage: inspector_client.py modern|legacy http://HOST:PORT/mcp COMMAND [ARGUMENT ...]

COMMAND starts the Inspector; the environment variable MCPMQTT_KEY has the key. Each exchange is a
run of its own, so that it cannot subscribe to anything: it has no such method.
"""

import json
import os
import subprocess
import sys

era, url, *command = sys.argv[1:]
key = os.environ["MCPMQTT_KEY"]
runs = 0


def must(condition, what, seen):
    if not condition:
        raise SystemExit(f"inspector_client: {what}; seen: {seen}")


def run(method, *arguments, key=key):
    """Gives the exit code, the result and the error."""
    global runs
    runs += 1
    words = ["--cli", "--server-url", url, "--transport", "http", "--protocol-era", era, "--format", "json"]
    words += ["--stored-auth-only", "--header", f"Authorization: Bearer {key}", "--method", method, *arguments]
    done = subprocess.run(command + words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "{}").get("result"), done.stderr


def succeed(method, *arguments):
    code, result, error = run(method, *arguments)
    must(code == 0, f"{method} must succeed", error)
    return result


def call(tool, **arguments):
    return run("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))


def structured(tool, **arguments):
    code, result, error = call(tool, **arguments)
    must(code == 0 and not result["isError"], f"{tool} must succeed", error)
    return result["structuredContent"]


tools = {tool["name"] for tool in succeed("tools/list")["tools"]}
must({"mqtt_publish", "mqtt_topics"} < tools and len(tools) == 7, "seven tools must be listed", tools)
sent = structured("mqtt_publish", topic="actuators/lights/exampleroom1/on", payload="1", qos=1)
must(sent["outcome"] == "delivered", "a publish must be delivered", sent)
got = structured("mqtt_subscribe", topic="sensors/+/temperature", max_messages=2, timeout=20)
must(got["messages_received"] == 2, "two messages must come", got)
first = structured("mqtt_read", topic="sensors/exampleroom1/temperature", timeout=20)
must(first["payload"] == "21.5", "a temperature must be read", first)
topics = {"request_topic": "commands/exampleroom1/request", "response_topic": "commands/exampleroom1/response"}
reply = structured("mqtt_query", payload="get_status", timeout=20, **topics)
must(reply["payload"], "a query must be answered", reply)

resources = {one["uri"] for one in succeed("resources/list")["resources"]}
must(len(resources) == 2, "two resources must be listed", resources)
for uri in resources:
    text = succeed("resources/read", "--uri", uri)["contents"][0]["text"]
    must("sensors/+/temperature" in text, "it must name a pattern", text)
templates = succeed("resources/templates/list")["resourceTemplates"]
must(templates[0]["uriTemplate"] == "mqtt://topic/{+topic}", "a template must be listed", templates)
topic = succeed("resources/read", "--uri", "mqtt://topic/sensors/exampleroom1/temperature")["contents"]
must(topic[0]["text"] == "21.5", "a topic must be readable as a resource", topic)

code, refused, error = call("mqtt_publish", topic="sensors/exampleroom1/temperature", payload="0")
must(code != 0 and refused["isError"], "a publish without permission must be an error", error)
must("not writable" in refused["content"][0]["text"], "it must say why", refused)
code, _, error = call("mqtt_nope")
must(code != 0 and "mqtt_nope" in error, "an unknown tool must be an error", error)
code, _, error = run("tools/list", key=f"not-{key}")
must(code != 0, "a wrong key must not come in", code)
must("wrong API key" in error or "HTTP 401" in error, "a wrong key must be told as such", error)
print(f"MCP Inspector, {era}: {runs} runs as they must be")
