"""The two sides of every case: the real program over its pipes, and mosquitto's clients."""

import contextlib
import itertools
import json
import os
import pathlib
import queue
import subprocess
import tempfile
import threading
import time

import install

VERSION = "2026-07-28"
PATIENCE = 60  # seconds for any one answer


class Refused(Exception):
    """A tool call that was answered with an error, in its words."""


class Agent:
    """The program with a configuration for a broker, and an MCP client at its pipes."""

    def __init__(self, program, broker, limits=None, topics=None, operator=None, **mqtt):
        self.log = tempfile.NamedTemporaryFile()
        self.config = tempfile.NamedTemporaryFile("w", suffix=".json")
        backoff = {"initial": 0.05, "max": 0.5, "refused_initial": 0.5, "refused_max": 1}
        mqtt = {"host": "127.0.0.1", "port": broker.port, "backoff": backoff, **broker.account(), **mqtt}
        topics = topics or [
            {"pattern": "t/#", "permissions": ["read", "write", "retain", "share"]},
            {"pattern": "forbidden/#", "permissions": ["read"]},
        ]
        settings = {"mqtt": mqtt, "topics": topics, "limits": limits or {}, "operator": operator or {}}
        json.dump(settings, self.config)
        self.config.flush()
        self.process = subprocess.Popen(
            [program, "--config", self.config.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )
        self.ids = itertools.count(1)
        self.answers = {}
        self.progress = {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("method") == "notifications/progress":
                self.progress[message["params"]["progressToken"]].set()
            elif "id" in message:
                self.answers[message["id"]].put(message)

    def start(self, tool, **arguments):
        """Calls a tool; `result` waits for the answer."""
        number = next(self.ids)
        self.answers[number] = queue.Queue()
        self.progress[number] = threading.Event()
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "scripts/interop", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": number,
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return number

    def listen(self, tool, **arguments):
        """As `start`, and returns when the subscription is in place, or the call is over."""
        number = self.start(tool, **arguments)
        end = time.monotonic() + PATIENCE
        while not self.progress[number].wait(0.02) and self.answers[number].empty():
            if time.monotonic() > end:
                raise RuntimeError(f"{tool} neither subscribes nor fails")
        return number

    def result(self, number):
        answer = self.answers[number].get(timeout=PATIENCE)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        if answer["result"].get("isError"):
            raise Refused(answer["result"]["content"][0]["text"])
        return answer["result"]["structuredContent"]

    def call(self, tool, **arguments):
        return self.result(self.start(tool, **arguments))

    def said(self):
        """The log so far."""
        return pathlib.Path(self.log.name).read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for file in (self.process.stdin, self.process.stdout, self.log, self.config):
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def end(self):
        """Ends it as a client does, by closing its input."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def running(program, broker, **settings):
    agent = Agent(program, broker, **settings)
    try:
        yield agent
    finally:
        agent.kill()


def check(program, broker, patterns, **mqtt):
    """The exit code of `--check --connect` with these readable patterns, and its report."""
    settings = {"host": "127.0.0.1", "port": broker.port, **broker.account(), **mqtt}
    topics = [{"pattern": pattern, "permissions": ["read"]} for pattern in patterns]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({"mqtt": settings, "topics": topics}, config)
        config.flush()
        command = [program, "--check", "--connect", "--seconds", "1", "--json", "--config", config.name]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE)
    return done.returncode, json.loads(done.stdout)


class Watcher:
    """`mosquitto_sub` on one topic; each message is a list: QoS, retained, payload."""

    def __init__(self, broker, topic, *options):
        # Its standard output is a pipe, on which it would keep its lines back.
        command = ["stdbuf", "-oL", install.program("mosquitto_sub", "mosquitto-clients"), "-d"]
        command += [*client(broker), "-t", topic, "-q", "2", "-F", "message %q %r %p", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.seen = queue.Queue()
        self.subscribed = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        if not self.subscribed.wait(PATIENCE):
            raise RuntimeError("mosquitto_sub does not get its subscription")

    def read(self):
        for line in self.process.stdout:
            if line.startswith("Subscribed (mid"):
                self.subscribed.set()
            elif line.startswith("message "):
                self.seen.put(line.rstrip("\n").split(" ", 3)[1:])

    def next(self, timeout=PATIENCE):
        """The next message, or None."""
        try:
            return self.seen.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def watching(broker, topic, *options):
    watcher = Watcher(broker, topic, *options)
    try:
        yield watcher
    finally:
        watcher.close()


def publish(broker, topic, payload, qos=0, *options):
    """`mosquitto_pub`. It may fail, as it does at QoS 2 with RabbitMQ: what counts is whether the message arrives."""
    command = [install.program("mosquitto_pub", "mosquitto-clients"), *client(broker), "-t", topic, "-m", payload]
    subprocess.run([*command, "-q", str(qos), *options], stderr=subprocess.DEVNULL, timeout=PATIENCE)


def client(broker):
    account = ["-u", broker.username, "-P", broker.password] if broker.username else []
    return ["-V", "311", "-h", "127.0.0.1", "-p", str(broker.port), *account]


def default_program():
    root = pathlib.Path(__file__).resolve().parents[2]
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=root, check=True)
    metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    target = json.loads(subprocess.run(metadata, cwd=root, check=True, stdout=subprocess.PIPE).stdout)
    return os.path.join(target["target_directory"], "debug", "mcpmqtt")
