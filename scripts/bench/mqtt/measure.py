"""Runs the clients under the same loads in turn and prints the table of figures.

usage: measure.py PORT ROUNDS SCALE OURS RUMQTTC LIBMOSQUITTO
"""

import collections
import json
import statistics
import subprocess
import sys

# Load, QoS, messages at scale 1.
LOADS = [
    ("publish", 0, 300_000),
    ("publish", 1, 60_000),
    ("publish", 2, 30_000),
    ("receive", 0, 100_000),
    ("receive", 1, 60_000),
    ("receive", 2, 30_000),
    ("rtt", 0, 6_000),
    ("rtt", 1, 6_000),
]

# What is wanted of our processor time, as a share of the better peer's.
CPU_AIMS = {
    ("publish", 0): 0.5,
    ("publish", 1): 0.7,
    ("publish", 2): 0.7,
    ("receive", 0): 0.7,
    ("receive", 1): 0.7,
}
RTT_AIM = 1.0
RSS_AIM_KB = 4096

# Messages of the shorter of two runs whose system calls are counted.
TRACED = 2000

# Seconds within which one client does one load.
PATIENCE = 300


def feeding(feeder, qos, count, topic):
    """Publishes for a receiver. At QoS 1 at least: the acknowledgements pace it, so that the broker keeps up and
    drops nothing; the receiver's own QoS is what it subscribed with."""
    return [*feeder, "publish", str(max(qos, 1)), str(count), topic]


def run(command, load, qos, count, feeder):
    """One client under one load; its report."""
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
    return json.loads(report)


def system_calls(command, load, qos, count, feeder):
    """System calls per message: those of a longer run less those of a shorter one."""
    totals = []
    for messages in (count, 3 * count):
        with open("/dev/null", "w") as nowhere:
            prefix = ["strace", "-f", "-c", "-U", "calls,name", "-o", "/dev/stderr"]
            topic = f"bench/{load}"
            client = subprocess.Popen([*prefix, *command, load, str(qos), str(messages), topic],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if load == "receive":
                assert client.stdout.readline() == "ready\n"
                subprocess.run(feeding(feeder, qos, messages, topic), stdout=nowhere, stderr=nowhere, check=True)
            _, summary = client.communicate(timeout=PATIENCE)
        totals.append(next(int(line.split()[0]) for line in summary.splitlines() if line.endswith("total")))
    return (totals[1] - totals[0]) / (2 * count)


def main():
    port, rounds, scale, *programs = sys.argv[1:]
    names = ["ours", "rumqttc", "libmosquitto"]
    clients = {name: [program, port] for name, program in zip(names, programs, strict=True)}
    feeder = clients["ours"]
    reports = collections.defaultdict(list)
    for _ in range(int(rounds)):
        # In turn, so that a machine that is busy for a while is so for everyone.
        for load, qos, count in LOADS:
            for name, command in clients.items():
                reports[load, qos, name].append(run(command, load, qos, int(count * float(scale)), feeder))
    missed = 0

    def median(load, qos, name, figure):
        return statistics.median(figure(report) for report in reports[load, qos, name])

    def judge(load, qos, ours, peers, aim):
        nonlocal missed
        if aim is None:
            return f"{ours / min(peers):5.2f}"
        met = ours <= aim * min(peers)
        missed += not met
        return f"{ours / min(peers):5.2f}  aim {aim:.1f} {'met' if met else 'MISSED'}"

    print(f"{'':<15}{'processor seconds per million':>39}  {'ratio to the better peer':<28}{'messages per second':>33}"
          f"{'system calls per message':>33}")
    print(f"{'':<15}" + "".join(f"{name:>13}" for name in names) + " " * 30
          + "".join(f"{name:>13}" for name in names) + "".join(f"{name:>13}" for name in names))
    for load, qos, count in LOADS:
        if load == "rtt":
            continue
        cpu = [median(load, qos, name, lambda r: r["cpu"] / r["count"] * 1e6) for name in names]
        rate = [median(load, qos, name, lambda r: r["count"] / r["wall"]) for name in names]
        calls = [system_calls(clients[name], load, qos, TRACED, feeder) for name in names]
        verdict = judge(load, qos, cpu[0], cpu[1:], CPU_AIMS.get((load, qos)))
        print(f"{load + ' QoS ' + str(qos):<15}" + "".join(f"{value:13.2f}" for value in cpu) + f"  {verdict:<28}"
              + "".join(f"{value:13.0f}" for value in rate) + "".join(f"{value:13.2f}" for value in calls))
    print(f"\n{'':<22}" + "".join(f"{name:>16}" for name in names) + "  ratio")
    for load, qos, _ in LOADS:
        if load != "rtt":
            continue
        p50 = [median(load, qos, name, lambda r: r["p50"]) for name in names]
        p99 = [median(load, qos, name, lambda r: r["p99"]) for name in names]
        cells = "".join(f"{f'{a:.0f} / {b:.0f} us':>16}" for a, b in zip(p50, p99))
        print(f"{f'trip p50/p99, QoS {qos}':<22}{cells}  {judge(load, qos, p50[0], p50[1:], RTT_AIM)}")
    rss = [max(report["rss_kb"] for (_, _, who), some in reports.items() if who == name for report in some)
           for name in names]
    met = rss[0] <= RSS_AIM_KB
    missed += not met
    print(f"{'memory, at most':<22}" + "".join(f"{f'{value} kB':>16}" for value in rss)
          + f"  aim {RSS_AIM_KB} kB {'met' if met else 'MISSED'}")
    print(f"\naims missed: {missed}")


main()
