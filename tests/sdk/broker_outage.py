"""What agents hear over HTTP while the broker is away, and when it is back.

usage: broker_outage.py HTTP-PORT BROKER-PID BROKER-PORT COMMAND [ARGUMENT ...]

Ends the broker that runs, and starts it again by COMMAND. The environment variable MCPMQTT_KEY has
the key. `/status` must tell the truth within a second: from the moment the broker has ended, and
from the moment it has accepted the connection again.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

http_port, broker, broker_port = map(int, sys.argv[1:4])
command = sys.argv[4:]
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CALLS = {
    "mqtt_publish": {"topic": "actuators/lights/exampleroom1/on", "payload": "1", "qos": 1},
    "mqtt_subscribe": {"topic": "sensors/+/temperature", "timeout": 5},
    "mqtt_read": {"topic": "sensors/exampleroom1/temperature", "timeout": 5},
    "mqtt_query": {
        "request_topic": "commands/exampleroom1/request",
        "response_topic": "commands/exampleroom1/response",
        "payload": "get_status",
        "timeout": 5,
    },
}


def must(condition, what, seen):
    if not condition:
        raise SystemExit(f"broker_outage: {what}; seen: {seen}")


def ask(method, path, body=None, fields=None):
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=10)
    connection.request(method, path, body, fields or {})
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def call(tool):
    params = {"name": tool, "arguments": CALLS[tool], "_meta": META}
    fields = {
        "Authorization": f"Bearer {os.environ['MCPMQTT_KEY']}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return ask("POST", "/mcp", json.dumps(message), fields)["result"]


def status_becomes(connected):
    """Seconds until the status says so."""
    begin = time.monotonic()
    while ask("GET", "/status") != {"running": True, "mqtt_connected": connected}:
        must(time.monotonic() - begin < 1, f"the status must say mqtt_connected: {connected} within a second", "nothing of it")
    return time.monotonic() - begin


def ended(process):
    try:
        return open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def patiently(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        must(time.monotonic() < deadline, what, "nothing for 20 s")
        time.sleep(0.01)


def listens():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", broker_port)) == 0


must(not call("mqtt_publish")["isError"], "a publish must succeed at first", None)
os.kill(broker, signal.SIGTERM)
patiently(lambda: ended(broker), "the broker must end")
down = status_becomes(False)
for tool in CALLS:
    result = call(tool)
    must(result["isError"], f"{tool} must fail without a broker", result)
    must("not connected" in result["content"][0]["text"], f"{tool} must say why", result)
must(ask("GET", "/status")["mqtt_connected"] is False, "the broker must still be away", None)

again = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    patiently(listens, "the broker must come back")
    up = status_becomes(True)
    result = call("mqtt_publish")
    must(not result["isError"], "calls must work again", result)
finally:
    again.terminate()
    again.wait()
print(f"broker away: /status said so after {down:.2f} s, {len(CALLS)} tools in words; back: after {up:.2f} s")
