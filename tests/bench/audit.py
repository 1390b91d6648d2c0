"""Measures what the record of writes adds to a publish, as rows for table.py.

usage: audit.py PORT ROUNDS SCALE PROGRAM CONFIG

The publishes are pipelined over stdio, as the pipelined ones of the part `stdio`, with and without the record in turn,
which is on the disk of CONFIG's folder and not synced.
"""

import json
import os
import statistics
import subprocess
import sys

CALLS = 20_000
WINDOW = 200


def configured(path, audit):
    """A configuration beside this one, with the record or without."""
    config = json.load(open(path))
    config.pop("audit", None)
    if audit:
        config["audit"] = {"file": os.path.join(os.path.dirname(path), "audit.jsonl"), **audit}
    changed = path + ".audit"
    with open(changed, "w") as file:
        json.dump(config, file)
    return changed


def processor_seconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def per_publish(program, config, calls):
    """Processor seconds of a publish."""
    process = subprocess.Popen(
        [program, "--config", config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )

    def send(messages):
        process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        process.stdin.flush()

    def publishes(first, count):
        arguments = {"topic": "bench/line3/motor1/cmd/rpm", "payload": '{"rpm": 1400}'}
        params = {"name": "mqtt_publish", "arguments": arguments}
        send({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params} for n in range(first, first + count))
        results = [json.loads(process.stdout.readline())["result"] for _ in range(count)]
        return all(not result["isError"] for result in results)

    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    send([{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}])
    process.stdout.readline()
    send([{"jsonrpc": "2.0", "method": "notifications/initialized"}])
    while not publishes(1, 1):
        pass
    assert publishes(2, WINDOW)
    before = processor_seconds(process)
    for first in range(1000, 1000 + calls, WINDOW):
        assert publishes(first, WINDOW)
    used = (processor_seconds(process) - before) / calls
    process.stdin.close()
    process.wait()
    return used


def row(figure, ours, peers=None, aims=()):
    part = "A record of writes (`audit`), two lines for each publish"
    line = {"part": part, "figure": figure, "unit": "us", "ours": ours, "peers": peers or {}, "aims": list(aims)}
    print(json.dumps(line), flush=True)


def main(port, rounds, scale, program, config):
    calls = int(CALLS * float(scale))
    without, recorded, hashed = [], [], []
    for number in range(1, int(rounds) + 1):
        print(f"record: round {number} of {rounds}", file=sys.stderr)
        for used, audit in [
            (without, None),
            (recorded, {"sync": "never"}),
            (hashed, {"sync": "never", "payload": "hash"}),
        ]:
            used.append(per_publish(program, configured(config, audit), calls) * 1e6)
    alone = statistics.median(without)
    row("processor time per publish, pipelined", statistics.median(recorded), {"without the record": alone})
    row("processor time that the record adds", statistics.median(recorded) - alone, aims=[{"at_most": 20, "why": ""}])
    row("the same with hashes of payloads", statistics.median(hashed) - alone)


main(*sys.argv[1:])
