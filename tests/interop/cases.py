"""What is tried with every broker. A case returns in a few words what came of it; what should come of
it is in expected.json. Anything else, an exception included, is a deviation."""

import signal
import threading
import time

from agent import PATIENCE, Refused, publish, running, watching


def publish_at_each_qos(broker, program):
    """The QoS at which somebody who asked for 2 gets what the program publishes at 0, 1 and 2."""
    seen = []
    with running(program, broker) as agent, watching(broker, "t/publish") as watcher:
        for qos, outcome in enumerate(["sent", "delivered", "delivered"]):
            done = agent.call("mqtt_publish", topic="t/publish", payload=f"héllo {qos}", qos=qos)
            must(done["outcome"] == outcome, done)
            got, _, payload = watcher.next() or must(False, "the message did not come")
            must(payload == f"héllo {qos}", payload)
            seen.append(got)
    return " ".join(seen)


def receive_at_each_qos(broker, program):
    """The QoS at which the program, subscribed with 2, gets what others publish at 0, 1 and 2."""
    seen = []
    with running(program, broker) as agent:
        for qos in range(3):
            collecting = agent.listen("mqtt_subscribe", topic="t/receive", qos=2, include_retained=False)
            publish(broker, "t/receive", "-m", f"m{qos}", "-q", str(qos))
            [message] = agent.result(collecting)["messages"]
            must(message["payload"] == f"m{qos}", message)
            seen.append(str(message["qos"]))
    return " ".join(seen)


def subscribe_at_each_qos(broker, program):
    """The QoS at which the program, subscribed with 0, 1 and 2, gets what others publish at 2."""
    seen = []
    with running(program, broker) as agent:
        for qos in range(3):
            topic = f"t/subscribe/{qos}"
            collecting = agent.listen("mqtt_subscribe", topic=topic, qos=qos)
            publish(broker, topic, "-m", "x", "-q", "2")
            [message] = agent.result(collecting)["messages"]
            seen.append(str(message["qos"]))
    return " ".join(seen)


def many(broker, program):
    """300 publishes of every QoS at once, and a subscription that gets them all."""
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/many", max_messages=300, qos=1)
        calls = [agent.start("mqtt_publish", topic="t/many", payload=str(n), qos=n % 3) for n in range(300)]
        for number in calls:
            agent.result(number)
        collected = agent.result(collecting)
    payloads = sorted(int(message["payload"]) for message in collected["messages"])
    must(payloads == list(range(300)), payloads)
    return "yes"


def retained(broker, program):
    """A retained message is kept, read, and gone when it is emptied."""
    with running(program, broker) as agent:
        agent.call("mqtt_publish", topic="t/kept", payload="21.5", qos=1, retain=True)
        for _ in range(3):
            read = agent.call("mqtt_read", topic="t/kept")
            must((read["payload"], read["retain"]) == ("21.5", True), read)
        agent.call("mqtt_publish", topic="t/kept", payload="", qos=1, retain=True)
        try:
            return f"still {agent.call('mqtt_read', topic='t/kept', timeout=0.5)['payload']!r}"
        except Refused as refused:
            must("no message on" in str(refused), refused)
    return "yes"


def query(broker, program):
    """A device answers."""

    def answer(watcher):
        request = watcher.next()
        publish(broker, "t/response", "-m", f"re:{request[2]}", "-q", "1")

    with running(program, broker) as agent, watching(broker, "t/request") as watcher:
        for n in range(3):
            threading.Thread(target=answer, args=[watcher], daemon=True).start()
            asked = agent.call(
                "mqtt_query", request_topic="t/request", response_topic="t/response", payload=f"q{n}", timeout=10
            )
            must(asked["payload"] == f"re:q{n}", asked)
    return "yes"


def overlap(broker, program):
    """How many copies each of two calls gets whose filters overlap."""
    with running(program, broker) as agent:
        calls = [
            agent.listen("mqtt_subscribe", topic=topic, max_messages=5, timeout=2) for topic in ["t/+/x", "t/over/#"]
        ]
        publish(broker, "t/over/x", "-m", "x")
        counts = [agent.result(number)["messages_received"] for number in calls]
    return " ".join(map(str, counts))


def share(broker, program):
    """A shared subscription."""
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="$share/g/t/share", timeout=3)
        if agent.answers[collecting].empty():
            publish(broker, "t/share", "-m", "x")
        try:
            received = agent.result(collecting)["messages_received"]
        except Refused as refused:
            if "closes the connection when this filter" in str(refused):
                return "closes"
            return "refused" if "refused the subscription" in str(refused) else str(refused)
    return "yes" if received == 1 else "not delivered"


def large(broker, program):
    """1 MiB there and back."""
    payload = "0123456789abcdef" * 65536
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/large", timeout=20)
        try:
            agent.call("mqtt_publish", topic="t/large", payload=payload, qos=1, timeout=20)
        except Refused as refused:
            must("outcome unknown" in str(refused), refused)
            return "refused"
        [message] = agent.result(collecting)["messages"]
        must(message["payload"] == payload, "it is not what was sent")
    return "yes"


def will(broker, program):
    """Others hear that the program was killed."""
    message = {"topic": "t/will", "payload": "gone", "qos": 1}
    with watching(broker, "t/will") as watcher, running(program, broker, will=message) as agent:
        agent.call("mqtt_publish", topic="t/other", payload="x", qos=1)
        agent.kill()
        seen = watcher.next(20)
    return "yes" if seen and seen[2] == "gone" else "no"


def birth_and_farewell(broker, program):
    """Others hear that it came, and that it ended in order."""
    coming = {"topic": "t/life", "payload": "on", "qos": 1, "retain": True}
    leaving = {**coming, "payload": "off"}
    with watching(broker, "t/life", "-R") as watcher, running(program, broker, birth=coming, will=leaving) as agent:
        agent.call("mqtt_publish", topic="t/other", payload="x", qos=1)
        must(agent.end() == 0, "it must end with 0")
        seen = [(watcher.next(5) or ["", "", "nothing"])[2] for _ in range(2)]
        more = watcher.next(0.5)
    must(more is None, f"and {more}")
    return "yes" if seen == ["on", "off"] else " ".join(seen)


def takeover(broker, program):
    """Two programs with one client id: both are told why they are thrown out."""
    sentence = "another client probably uses this client id"
    with running(program, broker, client_id="twin") as one, running(program, broker, client_id="twin") as other:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if any(sentence in agent.said() for agent in (one, other)):
                return "told"
            time.sleep(0.1)
        for agent in (one, other):
            agent.call("mqtt_publish", topic="t/twin", payload="x", qos=1)
    return "both stay"


def keep_alive(broker, program):
    """With a keep-alive of 2 s, a broker whose process is stopped is noticed in time, and found again."""
    with running(program, broker, keepalive=2) as agent:
        agent.call("mqtt_publish", topic="t/alive", payload="x", qos=1)
        broker.signal(signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            must(wait(lambda: "the broker stopped answering" in agent.said(), 10), agent.said())
            took = time.monotonic() - stopped
        finally:
            broker.signal(signal.SIGCONT)
        must(wait(lambda: works(agent), PATIENCE), agent.said())
    # Ping after at most 2 s of silence, one more second for its answer, and one for a busy machine.
    return "yes" if took < 4 else f"after {took:.1f} s"


def restart(broker, program):
    """A subscription and the program outlive the broker's death and restart."""
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/again", timeout=PATIENCE)
        broker.kill()
        broker.start()
        must(wait(lambda: works(agent), PATIENCE), agent.said())
        while agent.answers[collecting].empty():
            publish(broker, "t/again", "-m", "x")
            time.sleep(0.1)
        collected = agent.result(collecting)
        must(collected["interrupted"], "it must say that it was interrupted")
    return "yes"


def works(agent):
    try:
        return agent.call("mqtt_publish", topic="t/alive", payload="x", qos=1, timeout=1)["outcome"] == "delivered"
    except Refused:
        return False


def wait(is_so, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.05)
    return False


def must(condition, what):
    if not condition:
        raise RuntimeError(str(what)[:1000])


# In the order of the matrix. The last two disturb the broker.
ALL = {
    "publish at QoS 0 1 2": publish_at_each_qos,
    "receive at QoS 0 1 2": receive_at_each_qos,
    "subscribe at QoS 0 1 2": subscribe_at_each_qos,
    "300 publishes at once": many,
    "retained messages": retained,
    "query": query,
    "overlapping filters": overlap,
    "`$share`": share,
    "1 MiB": large,
    "will": will,
    "birth and farewell": birth_and_farewell,
    "takeover": takeover,
    "keep-alive": keep_alive,
    "restart": restart,
}
