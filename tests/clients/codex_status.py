"""Prints what Codex's app-server says of each MCP server that it is configured with."""

import json
import subprocess

with subprocess.Popen(
    ["codex", "app-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
) as server:

    def say(message):
        server.stdin.write(json.dumps(message) + "\n")
        server.stdin.flush()

    def ask(number, method, params):
        say({"id": number, "method": method, "params": params})
        answers = (json.loads(line) for line in server.stdout)
        return next(answer for answer in answers if answer.get("id") == number)["result"]

    ask(1, "initialize", {"clientInfo": {"name": "mcpmqtt-test", "title": "test", "version": "1"}})
    say({"method": "initialized"})
    for status in ask(2, "mcpServerStatus/list", {})["data"]:
        why = status.get("toolsError")
        print(f"{status['name']}: {len(status['tools'])} tools" + (f", {why}" if why else ""))
    server.stdin.close()
