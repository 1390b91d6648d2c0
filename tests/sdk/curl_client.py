"""curl as a client of mcpmqtt over the Unix socket.

usage: curl_client.py SOCKET

The environment variable MCPMQTT_KEY has the key; it reaches curl through standard input, not
through the list of processes.
"""

import json
import os
import subprocess
import sys

SOCKET, KEY = sys.argv[1], os.environ["MCPMQTT_KEY"]
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "curl", "version": "0"},
}


def must(condition, what, seen):
    if not condition:
        raise SystemExit(f"curl_client: {what}; seen: {seen}")


def curl(place, *options, fields=()):
    """Gives the status, the head's fields and the body."""
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "30", "--unix-socket", SOCKET]
    command += [*options, "--config", "-", f"http://localhost{place}"]
    config = "".join(f'header = "{field}"\n' for field in fields)
    answer = subprocess.run(command, input=config, capture_output=True, text=True, check=True).stdout
    head, _, body = answer.partition("\n\n")
    first, *rest = head.splitlines()
    named = (line.split(": ", 1) for line in rest)
    return int(first.split()[1]), {name.lower(): value for name, value in named}, body


def post(message, *more, key=KEY):
    fields = [f"Authorization: Bearer {key}", "Content-Type: application/json"]
    fields += ["Accept: application/json, text/event-stream", *more]
    return curl("/mcp", "--data", json.dumps({"jsonrpc": "2.0", **message}), fields=fields)


status, _, body = curl("/status")
must(status == 200 and json.loads(body) == {"running": True, "mqtt_connected": True}, "all is well", body)

status, fields, body = post({"id": 1, "method": "initialize", "params": INITIALIZE})
must(status == 200 and json.loads(body)["result"]["protocolVersion"] == "2025-11-25", "a session begins", body)
session = [f"Mcp-Session-Id: {fields['mcp-session-id']}", "MCP-Protocol-Version: 2025-11-25"]
status, _, body = post({"method": "notifications/initialized"}, *session)
must(status == 202 and body == "", "a notification is accepted", body)

read = {"name": "mqtt_read", "arguments": {"topic": "sensors/exampleroom1/temperature", "timeout": 20}}
status, _, body = post({"id": 2, "method": "tools/call", "params": read}, *session)
must(status == 200 and json.loads(body)["result"]["structuredContent"]["payload"] == "21.5", "a value is read", body)

status, fields, body = post({"id": 3, "method": "tools/call", "params": read}, *session, key=f"not-{KEY}")
must(status == 401 and fields["www-authenticate"].startswith("Bearer"), "a wrong key is refused", fields)
must("wrong API key" in json.loads(body)["error"]["message"], "it is told as such", body)

ended, _, _ = curl("/mcp", "--request", "DELETE", fields=[f"Authorization: Bearer {KEY}", *session])
status, _, body = post({"id": 4, "method": "ping"}, *session)
must((ended, status) == (200, 404), "a session that was ended is over", (ended, status, body))
print("curl over the Unix socket: 6 exchanges as they must be")
