"""Agents at two replicas behind a proxy; scripts/replicas starts all of it and has the environment.

usage: replicas.py PORT ACCESS-LOG BROKER-LOG
"""

import collections
import os
import signal
import subprocess
import sys
import threading
import time

from agents import LEGACY, Http, must

PORT, ACCESS, BROKER = int(sys.argv[1]), sys.argv[2], sys.argv[3]
KEY, BROKER_PORT = os.environ["MCPMQTT_KEY"], os.environ["MCPMQTT_BROKER_PORT"]
ROOM = "sensors/exampleroom1/temperature"


def until(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        must(time.monotonic() < end, what)
        time.sleep(0.02)


def replicas_since(mark):
    """How many requests each replica answered since then; the second of two that were asked counts."""
    with open(ACCESS) as file:
        return collections.Counter(line.split()[0] for line in file.readlines()[mark:])


def mark():
    with open(ACCESS) as file:
        return len(file.readlines())


def modern_calls_spread():
    agent, start = Http(PORT, KEY), mark()
    for _ in range(40):
        answer = agent.call("mqtt_read", topic=ROOM)
        must(answer.how == "ok" and "21.5" in answer.text, answer)
    until("the proxy's log", lambda: sum(replicas_since(start).values()) == 40)
    spread = replicas_since(start)
    must(len(spread) == 2 and min(spread.values()) >= 15, f"modern calls spread: {spread}")
    print(f"40 modern calls: {sorted(spread.values())}")


def legacy_sessions_stick():
    agents = [Http(PORT, KEY, LEGACY) for _ in range(6)]
    for agent in agents:
        must(agent.begin().how == "ok" and agent.session, "a session begins")
    homes = {agent.session[0] for agent in agents}
    must(homes == {"a", "b"}, f"sessions are at both replicas: {homes}")
    for _ in range(10):
        for agent in agents:
            answer = agent.call("mqtt_read", topic=ROOM)
            must(answer.how == "ok", f"a call in the session {agent.session}: {answer}")
    print("6 sessions of 10 calls each: every one at its replica")
    return agents


def a_stream_is_split():
    """$share: what one replica's caller gets, the other's does not."""
    total, answers = 400, []
    ask = dict(topic=f"$share/team/{ROOM}", max_messages=1000, timeout=6, include_retained=False)
    callers = [threading.Thread(target=lambda: answers.append(Http(PORT, KEY).call("mqtt_subscribe", **ask))) for _ in "ab"]
    for caller in callers:
        caller.start()
    with open(BROKER) as log:
        until("two shared subscriptions", lambda: log.seek(0) or log.read().count("$share/team/") >= 2)
    command = ["mosquitto_pub", "-p", BROKER_PORT, "-t", ROOM, "-q", "1", "-l"]
    subprocess.run(command, input="".join(f"{n}\n" for n in range(total)), text=True, check=True)
    for caller in callers:
        caller.join()
    shares = [answer.text.count('"payload"') for answer in answers]
    must(sum(shares) == total and min(shares) > 0, f"shares of {total} messages: {shares}")
    print(f"{total} messages of one stream: {sorted(shares)}")


def work(ends, stop):
    agent, number = Http(PORT, KEY), 0
    while not stop.is_set():
        number += 1
        began = time.monotonic()
        if number % 2:
            answer = agent.call("mqtt_publish", topic="actuators/lights/on", payload="1", qos=1)
        else:
            answer = agent.call("mqtt_read", topic=ROOM)
        ends.append((began, answer))


def one_is_killed(legacy):
    ends, stop = [], threading.Event()
    workers = [threading.Thread(target=work, args=(ends, stop)) for _ in range(8)]
    for worker in workers:
        worker.start()
    until("load", lambda: len(ends) > 200)
    killed = time.monotonic()
    os.kill(int(os.environ["MCPMQTT_REPLICA_A"]), signal.SIGKILL)
    # Until the proxy must have tried it again several times.
    until("time passes", lambda: time.monotonic() > killed + 5)
    stop.set()
    for worker in workers:
        worker.join()
    count = collections.Counter(answer.how for _, answer in ends)
    must(set(count) <= {"ok", "refused"}, f"every call has an answer or an error: {count}")
    failed = [answer for _, answer in ends if answer.how == "refused"]
    others = [answer for answer in failed if answer.status != 502]
    must(not others, f"the error is the proxy's: {others}")
    must(len(failed) <= len(workers), f"only calls in flight fail: {len(failed)}")
    after = [answer.how for began, answer in ends if began > killed + 0.1]
    must(len(after) > 100 and set(after) == {"ok"}, f"calls after that: {collections.Counter(after)}")
    print(f"{len(ends)} calls, a replica killed among them: {len(failed)} failed, with 502; {len(after)} after it, all good")

    for agent in legacy:
        answer = agent.call("mqtt_read", topic=ROOM)
        wanted = ("refused", 502) if agent.session[0] == "a" else ("ok", 200)
        must((answer.how, answer.status) == wanted, f"session {agent.session}: {answer}")
    for _ in range(4):
        agent = Http(PORT, KEY, LEGACY)
        must(agent.begin().how == "ok" and agent.session[0] == "b", "new sessions begin at the other")
    print("sessions of the killed replica: 502; those of the other go on, new ones begin there")


def it_comes_back(legacy):
    before = mark()
    print("ready", flush=True)
    sys.stdin.readline()
    agent = Http(PORT, KEY)

    def both():
        must(agent.call("mqtt_read", topic=ROOM).how == "ok", "a modern call")
        return len(replicas_since(before)) == 2

    until("modern calls spread again", both)
    for old in legacy:
        answer = old.call("mqtt_read", topic=ROOM)
        if old.session[0] == "a":
            must(answer.status == 404, f"a session of the replica's life before: {answer}")
            must(old.begin().how == "ok" and old.call("mqtt_read", topic=ROOM).how == "ok", "it begins anew")
        else:
            must(answer.how == "ok", f"the other's session: {answer}")
    print("started again: modern calls spread, its old sessions get 404 and begin anew")


modern_calls_spread()
legacy = legacy_sessions_stick()
a_stream_is_split()
one_is_killed(legacy)
it_comes_back(legacy)
print("5 passed, 0 failed")
