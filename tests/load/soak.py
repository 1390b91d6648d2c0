"""Agents at work for long; scripts/soak starts what they work with and has the environment.

usage: soak.py MINUTES PROGRAM CONFIG HTTP-PORT BROKER-PORT BROKER-CONFIG

Four agents call over HTTP and two over stdio, a plant publishes 2,000 messages a second over 500 topics,
the broker is stopped and started again five times (every five minutes of thirty), and strangers try
wrong keys. It fails when a program's memory or descriptors grow, when a call has no answer, when a
failure is not explained, or when messages are missing that nobody counted as lost.
"""

import collections
import glob
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

from agents import LEGACY, Http, Plant, Stdio, must

MINUTES, PROGRAM, CONFIG = float(sys.argv[1]), sys.argv[2], sys.argv[3]
HTTP_PORT, BROKER_PORT, BROKER_CONFIG = int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
KEY, SERVER = os.environ["MCPMQTT_KEY"], int(os.environ["MCPMQTT_SERVER"])
RATE, TOPICS = 2000, [f"plant/{n}/value" for n in range(500)]

start = time.monotonic()
over = threading.Event()
ends = collections.Counter()
reasons = collections.Counter()
streams = collections.Counter()
failures = []
lock = threading.Lock()


def note(who, answer):
    with lock:
        ends[who, answer.how] += 1
        if answer.how != "ok":
            reasons[answer.how, answer.status, shape(answer.text)] += 1
    return answer


def shape(text):
    """A reason without what differs from one call to the next."""
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        pass
    return "".join("#" if char.isdigit() else char for char in text)[:160]


def collect(who, agent, number):
    """Collects what one topic or all of them bring, and accounts for every message in between."""
    topic = "plant/+/value" if number % 2 else TOPICS[number % len(TOPICS)]
    answer = note(who, agent.call("mqtt_subscribe", topic=topic, max_messages=200, timeout=2))
    if answer.how != "ok":
        return
    result = json.loads(answer.text)
    values = [int(message["payload"]) for message in result["messages"] if message["payload"].isdigit()]
    with lock:
        streams["messages"] += len(values)
        streams["lost"] += result["lost"]
        streams["interrupted"] += result["interrupted"]
    if topic == "plant/+/value" and values and not result["interrupted"]:
        missing = max(values[-1] - values[0] + 1 - len(values) - result["lost"], 0)
        # The agents over HTTP share a connection: until the broker has taken up a caller's own subscription,
        # it is given those of its messages that the subscriptions of others bring, and no others.
        with lock:
            streams["missing" if who.startswith("stdio") else "before"] += missing


def work(who, agent):
    for number in itertools.count(1):
        if over.is_set():
            break
        turn = number % 5
        if turn == 0:
            note(who, agent.call("mqtt_publish", topic="actuators/lights/on", payload="1", qos=number % 3))
        elif turn == 1:
            note(who, agent.call("mqtt_read", topic=TOPICS[number % len(TOPICS)], timeout=3))
        elif turn == 2:
            ask = {"request_topic": f"commands/{who}/request", "response_topic": f"commands/{who}/response"}
            note(who, agent.call("mqtt_query", **ask, payload=str(number), timeout=5))
        elif turn == 3:
            collect(who, agent, number)
        elif isinstance(agent, Http) and agent.version == LEGACY and number % 100 == 4:
            note(who, agent.begin())
        else:
            note(who, agent.request("tools/list", {}))


def strangers():
    agent = Http(HTTP_PORT, KEY)
    for number in itertools.count():
        if over.wait(0.5):
            break
        answer = note("stranger", agent.request("tools/list", {}, key=f"wrong-{number}"))
        must(answer.status in (401, 429), f"a stranger got {answer}")


def broker(first):
    """Restarts the broker; the last one is left to whoever ends all this."""
    process, every = first, MINUTES * 60 / 6
    for _ in range(5):
        if over.wait(every):
            break
        os.kill(process, 15)
        must(gone(process), "the broker ends")
        over.wait(min(2, every / 10))
        child = subprocess.Popen(["mosquitto", "-c", BROKER_CONFIG], stderr=subprocess.DEVNULL)
        process = child.pid
        streams["restarts"] += 1
    over.wait()
    if process != first:
        child.terminate()
        child.wait()


def guarded(task, *arguments):
    """A failure ends it all, instead of this thread alone."""
    try:
        task(*arguments)
    except BaseException as error:
        failures.append(f"{task.__name__}: {error!r}")
        over.set()


def gone(process):
    """The first broker is the child of the script, which may have taken note of its end already."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with open(f"/proc/{process}/stat") as stat:
                if stat.read().split()[2] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def memory(process):
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(process):
    return len(glob.glob(f"/proc/{process}/fd/*"))


agents = {f"http{n}": Http(HTTP_PORT, KEY, LEGACY if n % 2 else "2026-07-28") for n in range(4)}
for agent in agents.values():
    if agent.version == LEGACY:
        must(agent.begin().how == "ok", "a session begins")
children = {f"stdio{n}": Stdio(PROGRAM, "--config", CONFIG) for n in range(2)}
processes = {"http": SERVER, **{name: child.child.pid for name, child in children.items()}}
plant = Plant(BROKER_PORT, TOPICS, RATE)
plant.start()
tasks = [(work, *pair) for pair in {**agents, **children}.items()]
tasks += [(strangers,), (broker, int(os.environ["MCPMQTT_BROKER"]))]
threads = [threading.Thread(target=guarded, args=task) for task in tasks]
for thread in threads:
    thread.start()

# Whoever ends this ends what it started.
signal.signal(signal.SIGTERM, lambda *_: (failures.append("stopped"), over.set()))
samples = []
while time.monotonic() < start + MINUTES * 60 and not failures:
    time.sleep(min(1, MINUTES))
    samples.append({name: (memory(process), descriptors(process)) for name, process in processes.items()})
    if len(samples) % 60 == 0:
        print(f"{len(samples):5d} s {samples[-1]} {sum(ends.values())} calls", flush=True)
over.set()
plant.stopped.set()
for thread in threads:
    thread.join()
must(not failures, failures)
for name, child in children.items():
    must(child.close() == 0, f"{name} ends with 0")

print(f"{MINUTES:g} minutes, {plant.published} messages published ({plant.published / MINUTES / 60:.0f}/s), "
      f"{streams['restarts']} restarts of the broker")
for how in ("ok", "refused", "unclear", "silent"):
    print(f"{how:8s} {sum(count for (_, kind), count in ends.items() if kind == how):7d} calls")
for (how, status, text), count in reasons.most_common(12):
    print(f"{count:8d} {how} {status} {text}")
print(f"collected {streams['messages']} messages, {streams['lost']} counted as lost, {streams['interrupted']} results "
      f"marked as interrupted, {streams['missing']} missing without a word, {streams['before']} over HTTP "
      "between what others' subscriptions brought and the first of one's own")
must(streams["restarts"] == 5, "the broker was restarted five times")
must(plant.published > 0.6 * RATE * MINUTES * 60, "the plant published")
for (who, how), count in ends.items():
    must(how in ("ok", "refused"), f"{who}: {count} calls ended {how}")
must(all(ends[who, "ok"] > 5 * MINUTES for who in {**agents, **children}), f"every agent worked: {ends}")
must(streams["lost"] > 0, "something was lost, and counted")
must(streams["missing"] == 0, "no message is missing that was not counted")

quarter = len(samples) // 4
for name in processes:
    first, last = samples[:quarter], samples[-quarter:]
    for what, index, allowed in (("RSS (KiB)", 0, 1.05), ("descriptors", 1, 1.05)):
        # The first seconds are the way up to the working set. And the lower quartile, since hashing a wrong
        # key takes 64 MiB for a moment.
        before = statistics.quantiles((sample[name][index] for sample in first[len(first) // 4 :]), n=4)[0]
        after = statistics.quantiles((sample[name][index] for sample in last), n=4)[0]
        print(f"{name:7s} {what:12s} first quarter {before:7.0f}, last {after:7.0f} ({after / before - 1:+.1%})")
        must(after <= before * allowed + (index and 2), f"{name}: {what} grows")
print("soak: 1 passed, 0 failed")
