"""One lasting MCP connection to the program, and commands that use it; scripts/agent starts it.

usage: client.py serve VERSION PROGRAM ARGUMENT...
       client.py about | call TOOL [JSON] | read URI | log | tasks | judge ANSWERS

All in the current directory: `serve` starts the program, begins a connection of that version (of 2025-11-25 where the
program does not know it), prints `ready`, and takes requests at the Unix socket `socket`, several at once. It writes
each request with its result to `calls.jsonl`, and what the program sends unasked to `notifications.jsonl`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import judge

MODERN, LEGACY = "2026-07-28", "2025-11-25"
ABOUT_US = {"name": "scripts/agent", "version": "1"}
PATIENCE = 330  # seconds; a tool takes 300 at most
SOCKET = "socket"


class Failed(Exception):
    """A request that has no result, in words."""


class Connection:
    """The program as a child; any number of requests at once."""

    def __init__(self, version, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.version, self.last_id, self.answers, self.ended = version, 0, {}, False
        self.came = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        self.greeting = self.begin()
        self.tools = self.all_pages("tools/list", "tools")

    def begin(self):
        """What the program says of itself at the start."""
        if self.version >= MODERN:
            try:
                found = self.request("server/discover", {})
                if self.version in found["supportedVersions"]:
                    return found
            except Failed:
                pass
            self.version = LEGACY
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": ABOUT_US}
        found = self.request("initialize", params)
        self.version = found["protocolVersion"]
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return found

    def all_pages(self, method, member):
        entries, cursor = [], {}
        while True:
            page = self.request(method, cursor)
            entries += page[member]
            if not page.get("nextCursor"):
                return entries
            cursor = {"cursor": page["nextCursor"]}

    def listen(self):
        with open("notifications.jsonl", "a") as unasked:
            for line in self.child.stdout:
                message = json.loads(line)
                if "method" in message:
                    unasked.write(line.decode())
                    unasked.flush()
                    continue
                with self.came:
                    self.answers[message.get("id")] = message
                    self.came.notify_all()
        with self.came:
            self.ended = True
            self.came.notify_all()

    def say(self, message):
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def request(self, method, params):
        if self.version >= MODERN:
            meta = {"protocolVersion": self.version, "clientCapabilities": {}, "clientInfo": ABOUT_US}
            params = {**params, "_meta": {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}}
        with self.came:
            self.last_id += 1
            number = self.last_id
            try:
                self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            except OSError:
                self.ended = True
            self.came.wait_for(lambda: number in self.answers or self.ended, PATIENCE)
            answer = self.answers.pop(number, None)
        if answer is None:
            raise Failed("the program has ended" if self.ended else f"no answer within {PATIENCE} s")
        if "error" in answer:
            raise Failed(f"error {answer['error']['code']}: {answer['error']['message']}")
        return answer["result"]

    def end(self):
        """As a client does: by closing its input."""
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()


class Server:
    """Takes requests, each a JSON line, and writes down those that a model would make."""

    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(SOCKET)
        self.listener.listen()

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=[self.listener.accept()[0]], daemon=True).start()

    def serve(self, stream):
        with stream, stream.makefile("rw") as lines:
            lines.write(json.dumps(self.answer(json.loads(lines.readline()))) + "\n")

    def answer(self, request):
        if request["do"] == "about":
            return {"text": about(self.connection), "error": False}
        start = time.time()
        try:
            text, error = self.ask(request)
        except Failed as failure:
            text, error = str(failure), True
        took = round(time.time() - start, 3)
        result = {"bytes": len(text.encode()), "error": error, "text": text}
        line = {"at": round(start, 3), "seconds": took, **request, **result}
        with self.lock, open("calls.jsonl", "a") as calls:
            calls.write(json.dumps(line, ensure_ascii=False) + "\n")
        return {"text": text, "error": error}

    def ask(self, request):
        if request["do"] == "read":
            found = self.connection.request("resources/read", {"uri": request["uri"]})
            return "\n".join(part.get("text") or part.get("blob", "") for part in found["contents"]), False
        found = self.connection.request("tools/call", {"name": request["tool"], "arguments": request["arguments"]})
        return "\n".join(map(block, found["content"])), bool(found.get("isError"))


def block(content):
    """A part of a result, as text."""
    return content["text"] if content["type"] == "text" else json.dumps(content, separators=(",", ":"))


def about(connection):
    """What a model is given at the start."""

    def compact(value):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    instructions = connection.greeting.get("instructions") or ""
    given = [{name: tool.get(name) for name in ("name", "description", "inputSchema")} for tool in connection.tools]
    size = len(compact(given).encode())
    outputs = len(compact([tool.get("outputSchema") for tool in connection.tools]).encode())
    lines = [f"# Instructions ({len(instructions.encode())} bytes)", "", instructions, ""]
    sizes = f"{size} bytes as JSON, about {size // 4} tokens; output schemas: {outputs} bytes more"
    lines += [f"# Tools ({len(given)}; {sizes})"]
    for tool in given:
        lines += ["", f"## {tool['name']}", "", tool["description"] or "", ""]
        lines += [f"arguments: {compact(tool['inputSchema'])}"]
    return "\n".join(lines)


def serve(version, *command):
    connection = Connection(version, command)
    server = Server(connection)

    def end(*_):
        connection.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    server.run()


def ask(**request):
    """Prints the answer of the server; gives the exit code."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.connect(SOCKET)
    except OSError:
        raise Failed("nothing runs here; begin with: scripts/agent start") from None
    with stream, stream.makefile("rw") as lines:
        lines.write(json.dumps(request) + "\n")
        lines.flush()
        answer = json.loads(lines.readline() or '{"text": "the connection has ended", "error": true}')
    if answer["error"]:
        print("isError: true")
    print(answer["text"])
    return int(answer["error"])


def call(tool, arguments="{}"):
    try:
        arguments = json.loads(arguments)
    except ValueError as error:
        raise Failed(f"the arguments are no JSON ({error}): {arguments}") from None
    if not isinstance(arguments, dict):
        raise Failed(f"the arguments are not a JSON object: {arguments}")
    return ask(do="call", tool=tool, arguments=arguments)


def calls():
    try:
        with open("calls.jsonl") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def log():
    made = calls()
    for number, entry in enumerate(made, 1):
        what = entry.get("uri") or f"{entry['tool']} {json.dumps(entry['arguments'], ensure_ascii=False)}"
        mark = " error" if entry["error"] else ""
        print(f"{number:3d} {entry['bytes']:7d} bytes {entry['seconds']:7.1f} s{mark}  {what}")
    errors = sum(entry["error"] for entry in made)
    print(f"{len(made)} calls, {sum(entry['bytes'] for entry in made)} bytes, {errors} errors")
    return 0


def tell_tasks():
    with open(judge.HERE / "tasks.json") as file:
        given = json.load(file)
    print(given["about"])
    for number, task in enumerate(given["tasks"], 1):
        print(f"\n{number}. {task['id']}: {task['ask']}")
        print(f"   {json.dumps({task['id']: task['answer']}, ensure_ascii=False)}")
    return 0


def compare(path):
    with open(path) as file:
        answers = json.load(file)
    if not isinstance(answers, dict):
        raise Failed(f"{path} holds no JSON object")
    verdicts = judge.judge(judge.read_truth("truth.jsonl"), answers)
    for task, faults in verdicts:
        print(f"wrong  {task}: {'; '.join(faults)}" if faults else f"right  {task}")
    made = calls()
    right = sum(not faults for _, faults in verdicts)
    print(f"{right} of {len(verdicts)} right; {len(made)} calls, {sum(entry['bytes'] for entry in made)} bytes")
    return int(right < len(verdicts))


COMMANDS = {
    "serve": serve,
    "about": lambda: ask(do="about"),
    "call": call,
    "read": lambda uri: ask(do="read", uri=uri),
    "log": log,
    "tasks": tell_tasks,
    "judge": compare,
}

if __name__ == "__main__":
    try:
        sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
    except (Failed, OSError, ValueError) as error:
        sys.exit(f"agent: {error}")
