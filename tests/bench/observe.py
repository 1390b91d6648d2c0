"""Measures observation, the overview and reactions of one program over stdio, as rows for table.py.

usage: observe.py PORT ROUNDS SCALE TABLE REACTOR PROGRAM CONFIG

The configuration allows `bench/#`. The plant is 10,000 topics with numbers of 64 bytes, published over a bare socket.
What observation adds to a message is measured by TABLE, without a broker; beside it stands what a message costs in all,
with reading, decoding and the tap. A raw round trip is a message that a bare socket, REACTOR, answers with another: the
same way over the same broker as a reaction takes.
"""

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time

TOPICS = 10_000
MESSAGES = 100_000
TRIPS = 400


class Bus:
    """A bare MQTT 3.1.1 connection at QoS 0."""

    def __init__(self, port, name):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        variable = b"\x00\x04MQTT\x04\x02\x00\x00" + text(name)
        self.socket.sendall(packet(0x10, variable))
        assert self.packet()[0] == 0x20

    def subscribe(self, topic):
        self.socket.sendall(packet(0x82, b"\x00\x01" + text(topic) + b"\x00"))
        assert self.packet()[0] == 0x90

    def publish(self, topic, payload):
        self.socket.sendall(publish(topic, payload))

    def packet(self):
        """The next packet: its first byte and its body."""
        while True:
            length, at, shift = 0, 1, 0
            while at < len(self.rest):
                byte = self.rest[at]
                length |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if byte < 128:
                    if len(self.rest) >= at + length:
                        first, body = self.rest[0], self.rest[at : at + length]
                        self.rest = self.rest[at + length :]
                        return first, body
                    break
            piece = self.socket.recv(65536)
            assert piece, "the broker closed the connection"
            self.rest += piece


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def packet(first, body):
    length, digits = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (128 if length else 0)])
        if not length:
            return bytes([first]) + digits + body


def publish(topic, payload):
    return packet(0x30, text(topic) + payload.encode())


class Program:
    """The program over stdio."""

    def __init__(self, program, config):
        self.process = subprocess.Popen(
            [program, "--config", config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.last = 0
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self.ask("initialize", hello)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def begin(self, method, params):
        self.last += 1
        self.send({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params})
        return self.last

    def answer(self, number):
        while True:
            message = json.loads(self.process.stdout.readline())
            if message.get("id") == number:
                return message["result"]

    def ask(self, method, params):
        return self.answer(self.begin(method, params))

    def begin_call(self, tool, arguments):
        """Begins a call that waits; its subscription is in place when this returns."""
        number = self.begin("tools/call", {"name": tool, "arguments": arguments, "_meta": {"progressToken": self.last}})
        while json.loads(self.process.stdout.readline()).get("method") != "notifications/progress":
            pass
        return number

    def call(self, tool, arguments):
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return result["structuredContent"]

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def plant(bus, messages):
    """Publishes so many messages, 10,000 a second, over all topics in turn."""
    start = time.monotonic()
    for first in range(0, messages, 100):
        numbers = range(first, min(first + 100, messages))
        batch = b"".join(publish(topic(n % TOPICS), f"{n % 997}.{n:060d}"[:64]) for n in numbers)
        bus.socket.sendall(batch)
        ahead = start + first / 10_000 - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


def topic(n):
    return f"bench/line{n // 1000}/motor{n // 10 % 100}/value{n % 10}"


def per_message(port, program, config, messages, observe):
    """Processor seconds per message, and the program with its table."""
    bus, running = Bus(port, "plant"), Program(program, config)
    if observe:
        running.call("mqtt_topics", {"topic": "bench/#", "seconds": 0})
        waiting = None
    else:
        waiting = running.begin_call("mqtt_wait", {"topic": "bench/#", "field": "x", "value": 1, "timeout": 300})
    # The table is filled before it is measured.
    plant(bus, TOPICS)
    time.sleep(0.3)
    before = running.processor_seconds()
    plant(bus, messages)
    time.sleep(0.3)
    used = (running.processor_seconds() - before) / messages
    if waiting:
        running.end()
        return used, None
    return used, running


def reactions(port, program, config, reactor, trips):
    """Seconds from a level to the reaction: of the program, of a bare socket in its place, and of the message alone,
    which passes the broker once."""
    plant_side, valve, running = Bus(port, "plant"), Bus(port, "valve"), Program(program, config)
    bare = subprocess.Popen([reactor, str(port)], stdout=subprocess.PIPE, text=True)
    assert bare.stdout.readline() == "ready\n"
    valve.subscribe("bench/valve")

    def until_the_valve(topic, payload):
        start = time.perf_counter()
        plant_side.publish(topic, payload)
        valve.packet()
        return time.perf_counter() - start

    ours, bares, once = [], [], []
    when = {"topic": "bench/level", "op": ">", "value": 80, "timeout": 60}
    for _ in range(trips):
        once.append(until_the_valve("bench/valve", "x"))
        bares.append(until_the_valve("bench/bare", "81"))
        call = running.begin_call("mqtt_publish", {"topic": "bench/valve", "payload": "close", "when": when})
        ours.append(until_the_valve("bench/level", "81"))
        running.answer(call)
    running.end()
    bare.kill()
    bare.wait()
    return ours, bares, once


def row(part, figure, unit, ours, peers=None, aims=()):
    line = {"part": part, "figure": figure, "unit": unit, "ours": ours, "peers": peers or {}, "aims": list(aims)}
    print(json.dumps(line), flush=True)


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main(port, rounds, scale, table, reactor, program, config):
    port, rounds, scale = int(port), int(rounds), float(scale)
    messages, trips = int(MESSAGES * scale), max(50, int(TRIPS * scale))
    floor, observed, overviews, idle, full = [], [], [], [], []
    trips_of = ([], [], [])
    for number in range(1, rounds + 1):
        print(f"observation: round {number} of {rounds}", file=sys.stderr)
        floor.append(per_message(port, program, config, messages, False)[0])
        quiet = Program(program, config)
        quiet.call("mqtt_publish", {"topic": "bench/x", "payload": "1"})
        idle.append(quiet.resident())
        quiet.end()
        used, running = per_message(port, program, config, messages, True)
        observed.append(used)
        full.append(running.resident())
        for _ in range(10):
            start = time.perf_counter()
            seen = running.call("mqtt_topics", {"topic": "bench/#", "seconds": 0})
            overviews.append(time.perf_counter() - start)
        assert seen["topics"] == TOPICS, seen["topics"]
        running.end()
        for all_rounds, some in zip(trips_of, reactions(port, program, config, reactor, trips), strict=True):
            all_rounds.extend(seconds * 1e6 for seconds in some)
    part = "Observation: 10,000 topics, 10,000 messages of 64 bytes a second"
    alone = json.loads(subprocess.run([table], capture_output=True, text=True, check=True).stdout)
    row(part, "processor time that the table adds to a message", "us", alone["message_us"],
        aims=[{"at_most": 1.5, "why": ""}])
    row(part, "processor time per message, all told", "us", statistics.median(observed) * 1e6,
        {"judged by a condition instead": statistics.median(floor) * 1e6})
    row(part, "bytes of the table", "B", alone["bytes"], aims=[{"at_most": 4 << 20, "why": "4 MiB"}])
    row(part, "resident memory that observation added", "B", statistics.median(full) - statistics.median(idle))
    row(part, "`mqtt_topics` over all of them", "us", statistics.median(overviews) * 1e6,
        aims=[{"at_most": 20_000, "why": ""}])
    part = "A reaction: from the message that meets the condition to the message that is published"
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, bare, once = (quantile(some, share) for some in trips_of)
        aims = [{"at_most": 2 * bare, "why": "2 × the bare socket"}] if name == "p50" else []
        row(part, name, "us", ours, {"bare socket in its place": bare, "the message alone": once}, aims)


main(*sys.argv[1:])
