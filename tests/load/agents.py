"""Agents that call over HTTP and over stdio and take note of every call's end, and a plant that publishes.

Each call ends in one of four ways: `ok`, `refused` (a sentence or a status that says why), `unclear`
(the connection ended without an answer, or the answer makes no sense) and `silent` (no answer in time).
"""

import collections
import http.client
import json
import socket
import subprocess
import threading
import time

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ABOUT_US = {"name": "mcpmqtt-load", "version": "1"}
PATIENCE = 30

Answer = collections.namedtuple("Answer", "how text status session")


def must(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {str(what)[:500]}")


def judge(message):
    """How a call ended whose answer is this JSON-RPC message."""
    if "error" in message:
        return "refused", message["error"]["message"]
    result = message["result"]
    text = result["content"][0]["text"] if "content" in result else json.dumps(result)
    return ("refused" if result.get("isError") else "ok"), text


class Http:
    """One connection over HTTP, made again when it is lost."""

    def __init__(self, port, key, version=MODERN):
        self.port, self.key, self.version = port, key, version
        self.session, self.number, self.connection = None, 0, None

    def post(self, message, key=None):
        fields = {
            "Authorization": f"Bearer {key or self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": self.version,
        }
        if self.version == MODERN:
            fields["MCP-Method"] = message["method"]
            if "name" in message["params"]:
                fields["MCP-Name"] = message["params"]["name"]
        if self.session:
            fields["Mcp-Session-Id"] = self.session
        try:
            self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.connection.request("POST", "/mcp", json.dumps(message), fields)
            answer = self.connection.getresponse()
            body = answer.read().decode()
        except TimeoutError:
            self.close()
            return Answer("silent", "no answer", 0, None)
        except ConnectionRefusedError as error:
            self.close()
            return Answer("refused", str(error), 0, None)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer("unclear", repr(error), 0, None)
        session = answer.getheader("Mcp-Session-Id")
        if answer.status != 200:
            how = "ok" if answer.status == 202 else "refused"
            return Answer(how, body, answer.status, session)
        try:
            how, text = judge(json.loads(self.last(body, answer)))
        except (ValueError, KeyError, IndexError) as error:
            return Answer("unclear", f"{error!r} in {body!r}", 200, session)
        return Answer(how, text, 200, session)

    @staticmethod
    def last(body, answer):
        """The answer alone, where events may have come before it."""
        if answer.getheader("Content-Type", "").startswith("text/event-stream"):
            return [line[5:] for line in body.splitlines() if line.startswith("data:") and line[5:].strip()][-1]
        return body

    def request(self, method, params, key=None):
        self.number += 1
        if self.version == MODERN:
            meta = {"protocolVersion": MODERN, "clientCapabilities": {}, "clientInfo": ABOUT_US}
            params = {**params, "_meta": {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}}
        return self.post({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}, key)

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def begin(self):
        """The handshake of the versions that have one."""
        self.session = None
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": ABOUT_US}
        answer = self.request("initialize", params)
        self.session = answer.session
        if self.session:
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}})
        return answer

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Stdio:
    """The program as a child, one call at a time."""

    def __init__(self, program, *arguments):
        self.child = subprocess.Popen(
            [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.number, self.answers, self.came = 0, {}, threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": ABOUT_US}
        must(self.request("initialize", params).how == "ok", "stdio begins")
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def listen(self):
        for line in self.child.stdout:
            message = json.loads(line)
            with self.came:
                self.answers[message.get("id")] = message
                self.came.notify_all()

    def say(self, message):
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def request(self, method, params):
        self.number += 1
        number = self.number
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        with self.came:
            if not self.came.wait_for(lambda: number in self.answers, PATIENCE):
                return Answer("silent", "no answer", 0, None)
            return Answer(*judge(self.answers.pop(number)), 200, None)

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def close(self):
        """Ends the program as its client would; gives its exit code."""
        self.child.stdin.close()
        return self.child.wait(PATIENCE)


class Plant(threading.Thread):
    """Publishes numbered values over many topics at a rate, whether a broker is there or not."""

    def __init__(self, port, topics, rate):
        super().__init__(daemon=True)
        self.port, self.topics, self.rate = port, topics, rate
        self.published, self.stopped = 0, threading.Event()

    def connect(self):
        try:
            link = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            link.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04load")
            return link if link.recv(4)[3:] == b"\0" else None
        except OSError:
            return None

    def batch(self, count):
        for _ in range(count):
            topic = self.topics[self.published % len(self.topics)].encode()
            value = str(self.published).encode()
            self.published += 1
            size = 2 + len(topic) + len(value)
            assert size < 128
            yield b"\x30" + bytes([size]) + len(topic).to_bytes(2, "big") + topic + value

    def run(self):
        link, next_turn = None, time.monotonic()
        while not self.stopped.is_set():
            next_turn += 0.02
            try:
                link = link or self.connect()
                if link:
                    link.sendall(b"".join(self.batch(self.rate // 50)))
            except OSError:
                link = None
            late = time.monotonic() - next_turn
            # What could not be published in time is not made up for.
            next_turn += max(late, 0)
            self.stopped.wait(max(-late, 0))
