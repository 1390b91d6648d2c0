"""Runs the MQTT clients under the same loads in turn and prints the figures as rows for table.py.

usage: mqtt.py PORT ROUNDS SCALE OURS RUMQTTC LIBMOSQUITTO
"""

import collections
import json
import statistics
import subprocess
import sys

# Load, QoS, messages at scale 1, and what is wanted of our processor time, as a share of the better peer's.
LOADS = [
    ("publish", 0, 300_000, 0.5),
    ("publish", 1, 60_000, 0.7),
    ("publish", 2, 30_000, 0.7),
    ("receive", 0, 100_000, 0.7),
    ("receive", 1, 60_000, 0.7),
    ("receive", 2, 30_000, None),
]
TRIPS = [("rtt", 0, 6_000, None), ("rtt", 1, 6_000, None)]

RESIDENT_AIM = 4096 * 1024

# Messages of the longer of two runs whose system calls are counted.
TRACED = 6000

# Seconds within which one client does one load.
PATIENCE = 300


def feeding(feeder, qos, count, topic):
    """Publishes for a receiver. At QoS 1 at least: the acknowledgements pace it, so that the broker keeps up and
    drops nothing; the receiver's own QoS is what it subscribed with."""
    return [*feeder, "publish", str(max(qos, 1)), str(count), topic]


def run(command, load, qos, count, feeder):
    """One client under one load; what it wrote on standard output and standard error."""
    topic = f"bench/{load}"
    arguments = [*command, load, str(qos), str(count), topic]
    client = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    feed = None
    if load == "receive":
        assert client.stdout.readline() == "ready\n"
        feed = subprocess.Popen(feeding(feeder, qos, count, topic), stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    report, words = client.communicate(timeout=PATIENCE)
    if client.returncode or (feed and feed.wait(timeout=PATIENCE)):
        sys.exit(f"failed: {' '.join(arguments)}\n{words}")
    return report, words


def system_calls(command, load, qos, feeder):
    """System calls per message: those of a run less those of one with a single message."""
    strace = ["strace", "-f", "-c", "-U", "calls,name", "-o", "/dev/stderr"]
    totals = []
    for messages in (1, TRACED):
        _, summary = run([*strace, *command], load, qos, messages, feeder)
        totals.append(next(int(line.split()[0]) for line in summary.splitlines() if line.endswith("total")))
    return (totals[1] - totals[0]) / (TRACED - 1)


def measure(clients, rounds, scale):
    """The reports of all rounds, by load, QoS and client."""
    reports = collections.defaultdict(list)
    for number in range(1, rounds + 1):
        print(f"MQTT: round {number} of {rounds}", file=sys.stderr)
        # In turn, so that a machine that is busy for a while is so for everyone.
        for load, qos, count, _ in LOADS + TRIPS:
            for name, command in clients.items():
                report, _ = run(command, load, qos, int(count * scale), clients["ours"])
                reports[load, qos, name].append(json.loads(report))
    return reports


def row(part, figure, unit, by_client, *aims):
    """Prints it. Aims are pairs of the most that is wanted, and why."""
    ours, *_ = by_client.values()
    peers = {name: value for name, value in by_client.items() if name != "ours"}
    aims = [{"at_most": most, "why": why} for most, why in aims]
    print(json.dumps({"part": part, "figure": figure, "unit": unit, "ours": ours, "peers": peers, "aims": aims}))


def main():
    port, rounds, scale, *programs = sys.argv[1:]
    names = ["ours", "rumqttc", "libmosquitto"]
    clients = {name: [program, port] for name, program in zip(names, programs, strict=True)}
    reports = measure(clients, int(rounds), float(scale))

    def medians(load, qos, figure):
        return {name: statistics.median(map(figure, reports[load, qos, name])) for name in names}

    def better(by_client):
        return min(value for name, value in by_client.items() if name != "ours")

    for load, qos, _, share in LOADS:
        part = f"MQTT client, {load} at QoS {qos} (64 bytes, at most 100 under way)"
        cpu = medians(load, qos, lambda report: report["cpu"] / report["count"] * 1e6)
        aims = [(share * better(cpu), f"{share} × the better peer")] if share else []
        row(part, "processor time per message", "us", cpu, *aims)
        row(part, "messages", "/s", medians(load, qos, lambda report: report["count"] / report["wall"]))
        print(f"MQTT: system calls, {load} at QoS {qos}", file=sys.stderr)
        calls = {name: system_calls(clients[name], load, qos, clients["ours"]) for name in names}
        row(part, "system calls per message", "", calls)
    part = "MQTT client, one message at a time, and memory"
    for load, qos, _, _ in TRIPS:
        p50, p99 = (medians(load, qos, lambda report: report["trips"][which]) for which in (0, 1))
        row(part, f"there and back at QoS {qos}, p50 / p99", "us", {name: [p50[name], p99[name]] for name in names},
            (better(p50), "the better peer"))
    resident = {name: max(report["resident"] for (_, _, who), some in reports.items() if who == name
                          for report in some) for name in names}
    row(part, "resident memory, at most, all loads", "B", resident, (RESIDENT_AIM, "4 MiB"))


main()
