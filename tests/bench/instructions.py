"""Counts the instructions of one call over HTTP under valgrind's callgrind, as rows for table.py.

usage: instructions.py PROGRAM CONFIG KEY

The configuration is that of a remote server on the Unix socket that it names. The figure is the difference of two runs
with another number of calls, so that the start and the end do not count; one client, one connection, one publish at
QoS 0 after the other.
"""

import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

FEW, MANY = 500, 2500
# Each call, and what it took before the fields of MCP were handed over as a struct: in a session as it was measured at
# 51f5b4c, without one as this program counts it at the commit before 5297c4e.
CALLS = [("in a session", False, 108_600), ("without sessions (2026-07-28)", True, 145_800)]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALL = {"name": "mqtt_publish", "arguments": {"topic": "bench/t", "payload": "hello"}}


class Client:
    def __init__(self, path, key):
        self.key = key
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            try:
                self.socket.connect(path)
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the program does not listen")

    def request(self, message, fields=""):
        body = json.dumps(message)
        return (
            f"POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
            "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
            f"{fields}content-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def ask(self, request):
        self.socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self.socket.recv(65536)
            if not piece:
                raise SystemExit(f"the connection was closed after {answer!r}")
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while length and len(body) < int(length[1]):
            body += self.socket.recv(65536)
        return head, body

    def call(self, stateless):
        """The request of one publish, in a session or without."""
        if stateless:
            fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: mqtt_publish\r\n"
            return self.request({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**CALL, "_meta": META}}, fields)
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        head, _ = self.ask(self.request({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
        session = re.search(rb"mcp-session-id: (\S+)", head, re.I)[1].decode()
        fields = f"mcp-session-id: {session}\r\nmcp-protocol-version: 2025-11-25\r\n"
        self.ask(self.request({"jsonrpc": "2.0", "method": "notifications/initialized"}, fields))
        return self.request({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}, fields)


def instructions(program, config, key, stateless, calls):
    with tempfile.TemporaryDirectory() as scratch:
        counted = pathlib.Path(scratch) / "callgrind"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counted}", program]
        command += ["--transport", "remotehttp", "--config", config]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            client = Client(json.loads(pathlib.Path(config).read_text())["remote_server"]["uds"], key)
            request = client.call(stateless)
            # Until there is a connection to the broker.
            while b"outcome" not in client.ask(request)[1]:
                time.sleep(0.1)
            for _ in range(calls):
                _, answer = client.ask(request)
            assert b"sent" in answer, answer
            process.send_signal(signal.SIGTERM)
            process.wait()
        return int(re.search(r"^(?:summary|totals): (\d+)", counted.read_text(), re.M)[1])


def main(program, config, key):
    for name, stateless, before in CALLS:
        few, many = (instructions(program, config, key, stateless, calls) for calls in (FEW, MANY))
        row = {
            "part": "HTTP, instructions of one publish (callgrind)",
            "figure": f"a call {name}",
            "unit": "",
            "ours": round((many - few) / (MANY - FEW)),
            "peers": {},
            "aims": [{"at_most": round(before * 0.8), "why": f"four fifths of {before:,}, as it was"}],
        }
        print(json.dumps(row), flush=True)


main(*sys.argv[1:])
