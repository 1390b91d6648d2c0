"""What is tried with every broker. A case returns "yes" when all went as the standard has it, and in a
few words what came of it otherwise, which expected.json has to know of. An exception is a failure."""

import signal
import threading
import time

import operators
from agent import PATIENCE, Refused, check, publish, running, watching
from link import TO_BROKER, TO_PROGRAM, link_to


def publish_at_each_qos(broker, program):
    """Somebody who asked for QoS 2 gets what the program publishes, each message at its own QoS."""
    seen = []
    with running(program, broker) as agent, watching(broker, "t/publish") as watcher:
        for qos, outcome in enumerate(["sent", "delivered", "delivered"]):
            done = agent.call("mqtt_publish", topic="t/publish", payload=f"héllo {qos}", qos=qos)
            must(done["outcome"] == outcome, done)
            got, _, payload = watcher.next() or must(False, "the message did not come")
            must(payload == f"héllo {qos}", payload)
            seen.append(int(got))
    return as_each_qos(seen)


def receive_at_each_qos(broker, program):
    """The program asks for QoS 2 and gets what others publish, each message at its own QoS."""
    seen = []
    with running(program, broker) as agent:
        for qos in range(3):
            collecting = agent.listen("mqtt_subscribe", topic="t/receive", qos=2, include_retained=False)
            publish(broker, "t/receive", f"m{qos}", qos)
            [message] = agent.result(collecting)["messages"]
            must(message["payload"] == f"m{qos}", message)
            seen.append(message["qos"])
    return as_each_qos(seen)


def subscribe_at_each_qos(broker, program):
    """Others publish at QoS 2, and the program gets each message at the QoS that it asked for."""
    seen = []
    with running(program, broker) as agent:
        for qos in range(3):
            topic = f"t/subscribe/{qos}"
            collecting = agent.listen("mqtt_subscribe", topic=topic, qos=qos)
            publish(broker, topic, "x", 2)
            [message] = agent.result(collecting)["messages"]
            seen.append(message["qos"])
    return as_each_qos(seen)


def as_each_qos(seen):
    return "yes" if seen == [0, 1, 2] else "at {}, {}, {}".format(*seen)


def many(broker, program):
    """300 publishes of every QoS at once, and a subscription that gets each of them once."""
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
    """A retained message is kept, read by its topic and by a wildcard, and gone when it is emptied."""

    def read(topic, **arguments):
        try:
            return agent.call("mqtt_read", topic=topic, **arguments)
        except Refused as refused:
            must("no message on" in str(refused), refused)

    with running(program, broker) as agent:
        with watching(broker, "t/kept/x") as watcher:
            agent.call("mqtt_publish", topic="t/kept/x", payload="21.5", qos=1, retain=True)
            # aedes acknowledges it before it has passed it on to those who subscribe meanwhile.
            must(watcher.next(), "the message did not come")
        for _ in range(2):
            kept = read("t/kept/x")
            must(kept and (kept["payload"], kept["retain"]) == ("21.5", True), kept)
        by_wildcard = read("t/kept/+", timeout=2)
        must(not by_wildcard or by_wildcard["payload"] == "21.5", by_wildcard)
        agent.call("mqtt_publish", topic="t/kept/x", payload="", qos=1, retain=True)
        gone = read("t/kept/x", timeout=0.5)
        must(gone is None, f"still {gone}")
    return "yes" if by_wildcard else "not by wildcard"


def query(broker, program):
    """A device answers."""

    def answer(watcher):
        request = watcher.next()
        publish(broker, "t/response", f"re:{request[2]}", 1)

    with running(program, broker) as agent, watching(broker, "t/request") as watcher:
        for n in range(3):
            threading.Thread(target=answer, args=[watcher], daemon=True).start()
            asked = agent.call(
                "mqtt_query", request_topic="t/request", response_topic="t/response", payload=f"q{n}", timeout=10
            )
            must(asked["payload"] == f"re:q{n}", asked)
    return "yes"


def overlap(broker, program):
    """One message, and two calls with overlapping filters: each gets it once."""
    with running(program, broker) as agent:
        calls = [
            agent.listen("mqtt_subscribe", topic=topic, max_messages=5, timeout=1, include_retained=False)
            for topic in ["t/+/overlap", "t/over/#"]
        ]
        publish(broker, "t/over/overlap", "x")
        counts = [agent.result(number)["messages_received"] for number in calls]
    must(counts[0] == counts[1] > 0, counts)
    return "yes" if counts == [1, 1] else f"{counts[0]} copies"


def retained_only(broker, program):
    """`retained: only` gets each retained value once and ends by itself; live messages and absent values do not hold it up."""
    topics = [f"t/only/{n}" for n in range(20)]
    for topic in topics:
        publish(broker, topic, topic, 1, "-r")
    with running(program, broker) as agent:
        kept = agent.call("mqtt_subscribe", topic="t/only/#", retained="only", timeout=20)
        one = agent.call("mqtt_subscribe", topic=topics[3], retained="only", format="latest", timeout=20)
        none = agent.call("mqtt_subscribe", topic="t/none/#", retained="only", timeout=20)
    for topic in topics:
        publish(broker, topic, "", 1, "-r")
    must([kept["ended_by"], one["ended_by"], none["ended_by"]] == ["quiet"] * 3, [kept, one, none])
    must(none["messages"] == [], none)
    must([row["value"] for row in one["rows"]] == [topics[3]], one)
    seen = sorted(message["payload"] for message in kept["messages"])
    if seen == sorted(topics):
        return "yes"
    return "not by wildcard" if not seen else f"{len(seen)} of {len(topics)}"


def overview(broker, program):
    """`mqtt_topics` tells a topic that comes from one that stopped, and asks once for a filter that is forbidden."""
    with running(program, broker) as agent:
        agent.call("mqtt_topics", topic="t/seen/#", seconds=0)
        # A rhythm of eight messages, then silence for one of the two.
        for _ in range(8):
            publish(broker, "t/seen/stopped", "1")
            publish(broker, "t/seen/lives", "1")
            time.sleep(0.1)
        silent = []

        def told():
            nonlocal silent
            publish(broker, "t/seen/lives", "1")
            silent = agent.call("mqtt_topics", topic="t/seen/#", silent=True, seconds=0)["rows"]
            return silent

        must(wait(told, 30), agent.call("mqtt_topics", topic="t/seen/#", detail="topics", seconds=0))
        must([row["topic"] for row in silent] == ["t/seen/stopped"], silent)
        if broker.forbidden:
            connections = agent.said().count("connected to the broker")
            for _ in range(3):
                refused = agent.call("mqtt_topics", topic=broker.forbidden, seconds=0)
                must("is not watched" in refused["notes"][0], refused)
                must(wait(lambda: works(agent), PATIENCE), agent.said())
            cuts = agent.said().count("connected to the broker") - connections
            must(cuts <= 1, f"{cuts} connections were cut")
    return "yes"


def proof(broker, program):
    """`confirm` on the published topic shows that the broker passed the message on; `when` acts on what comes."""
    with running(program, broker) as agent, watching(broker, "t/valve") as watcher:
        done = agent.call("mqtt_publish", topic="t/proof", payload="7", confirm={"topic": "t/proof", "value": 7, "timeout": 20})
        must(done["confirmed"] is True, done)
        when = {"topic": "t/level", "op": ">=", "value": 80, "timeout": 20}
        reacting = agent.listen("mqtt_publish", topic="t/valve", payload="open", when=when)
        for level in ["79", "81"]:
            publish(broker, "t/level", level)
        done = agent.result(reacting)
        must(done["outcome"] == "sent" and done["when"]["value"] == 81, done)
        opened = watcher.next() or must(False, "the reaction did not come")
        must(opened[2] == "open", opened)
    return "yes"


def counted_twice(broker, program):
    """Where a broker sends a message once for each subscription, statistics say that they are upper bounds."""
    with running(program, broker) as agent:
        agent.call("mqtt_topics", topic="t/twice/#", seconds=0)
        counting = agent.listen("mqtt_stats", topic="t/+/x", seconds=1.5)
        publish(broker, "t/twice/x", "1")
        counted = agent.result(counting)
    must(counted.get("upper_bounds", False) is (counted["n"] > 1), counted)
    return "yes" if counted["n"] == 1 else f"{counted['n']} copies"


def share(broker, program):
    """Two members of a shared subscription: each of ten messages comes to one of them."""
    with running(program, broker) as one, running(program, broker) as other:
        calls = []
        for agent in one, other:
            call = agent.listen("mqtt_subscribe", topic="$share/g/t/share", max_messages=10, timeout=2)
            calls.append((agent, call))
            if not agent.answers[call].empty():
                break
        else:
            for n in range(10):
                publish(broker, "t/share", str(n), 1)
        try:
            results = [agent.result(call) for agent, call in calls]
        except Refused as refused:
            if "closes the connection when this filter" in str(refused):
                return "cut off"
            return "refused" if "refused the subscription" in str(refused) else str(refused)
    payloads = sorted(int(message["payload"]) for result in results for message in result["messages"])
    if not payloads:
        return "nothing comes"
    must(payloads == list(range(10)), payloads)
    return "yes"


def large(broker, program):
    """1 MiB there and back."""
    payload = "0123456789abcdef" * 65536
    with running(program, broker, limits={"result_bytes": 2 << 20}) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/large", timeout=20)
        try:
            agent.call("mqtt_publish", topic="t/large", payload=payload, qos=1, timeout=20)
        except Refused as refused:
            must("outcome unknown" in str(refused), refused)
            return "cut off"
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
    """Others hear that it came, and once that it ended in order."""
    coming = {"topic": "t/life", "payload": "on", "qos": 1, "retain": True}
    leaving = {**coming, "payload": "off"}
    with watching(broker, "t/life", "-R") as watcher:
        with running(program, broker, birth=coming, will=leaving) as agent:
            agent.call("mqtt_publish", topic="t/other", payload="x", qos=1)
            must(agent.end() == 0, "it must end with 0")
        publish(broker, "t/life", "end", 1)
        seen = []
        while "end" not in seen:
            seen.append((watcher.next() or must(False, f"only {seen}"))[2])
    return "yes" if seen == ["on", "off", "end"] else " ".join(seen)


def wrong_password(broker, program):
    """A wrong password is told in words, and the next attempt comes late."""
    if not broker.intruder:
        return "not tried"
    username, password = broker.intruder
    backoff = {"initial": 0.05, "max": 0.5, "refused_initial": 30, "refused_max": 30}
    with running(program, broker, username=username, password=password, backoff=backoff) as agent:
        words = ""

        def told():
            nonlocal words
            try:
                agent.call("mqtt_publish", topic="t/x", payload="x", qos=1, timeout=1)
                words = "it was let in"
            except Refused as refused:
                words = str(refused)
            return words == "it was let in" or "not connected: " in words

        must(wait(told, PATIENCE), words)
        if "refused the user name or password" in words or "does not authorize this client" in words:
            must("next attempt in 30.0 s" in agent.said(), agent.said())
            return "yes"
        if "closed the connection without an answer to CONNECT" in words:
            return "cut off"
    return words


def refused_filter(broker, program):
    """A filter that the broker's access list forbids is told so, and other calls go on."""
    if not broker.forbidden:
        return "not tried"
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/public")
        try:
            agent.call("mqtt_read", topic=broker.forbidden, timeout=5)
            words = "it was allowed"
        except Refused as refused:
            words = str(refused)
        must(wait(lambda: works(agent), PATIENCE), agent.said())
        publish(broker, "t/public", "x", 1)
        collected = agent.result(collecting)
        must(collected["messages_received"] == 1, collected)
    if "the broker refused the subscription" in words and not collected["interrupted"]:
        return "yes"
    ended = "closes the connection when this filter" in words or "has to be closed each time this filter" in words
    return "cut off" if ended else words


def check_grants(broker, program):
    """`--check --connect` says that patterns are granted, and counts what is retained."""
    topics = ["t/check/one", "t/check/two"]
    for topic in topics:
        publish(broker, topic, "x", 1, "-r")
    code, said = check(program, broker, [topics[0], "t/check/+", "t/none/#"])
    for topic in topics:
        publish(broker, topic, "", 1, "-r")
    must((code, said["verdict"]) == (0, "ready"), said)
    patterns = said["connection"]["patterns"]
    must([pattern["outcome"] for pattern in patterns] == ["granted"] * 3, patterns)
    counts = [pattern["retained"] for pattern in patterns]
    if counts == [1, 0, 0]:
        return "not by wildcard"
    return "yes" if counts == [1, 2, 0] else "retained {}, {}, {}".format(*counts)


def check_wrong_password(broker, program):
    """`--check --connect` says that the password is wrong, names the key, and ends with 1."""
    if not broker.intruder:
        return "not tried"
    username, password = broker.intruder
    code, said = check(program, broker, ["t/#"], username=username, password=password)
    connection = said["connection"]
    must((code, said["verdict"], connection["connected"]) == (1, "not ready", False), said)
    must(connection["patterns"] == [], connection)
    reason = connection["reason"]
    if "`mqtt.password`" in reason:
        return "yes"
    return "cut off" if "closed the connection without an answer to CONNECT" in reason else reason


def check_refused_filter(broker, program):
    """`--check --connect` names the pattern that is forbidden, ends with 1, and tries the others all the same."""
    if not broker.forbidden:
        return "not tried"
    code, said = check(program, broker, ["t/first/#", broker.forbidden, "t/last/#"])
    must((code, said["verdict"]) == (1, "not ready"), said)
    first, forbidden, last = said["connection"]["patterns"]
    must([first["outcome"], last["outcome"]] == ["granted"] * 2, said)
    came = {"refused": "yes", "ends the connection": "cut off"}
    return came.get(forbidden["outcome"], str(forbidden))


def kept_session(broker, program):
    """What others publish at QoS 2 while the link is cut comes afterwards, once and in order, to a program
    that has asked for its session to be kept."""
    wanted = [*map(str, range(10)), "end"]
    with link_to(broker) as link:
        session = {"port": link.port, "client_id": "keeper", "clean_session": False}
        with running(program, broker, **session) as agent:
            collecting = agent.listen("mqtt_subscribe", topic="t/session", qos=2, max_messages=11, timeout=10)
            link.cut()
            must(wait(lambda: "next attempt in" in agent.said(), PATIENCE), agent.said())
            for payload in wanted[:-1]:
                publish(broker, "t/session", payload, 2)
            link.mend()
            must(wait(lambda: works(agent), PATIENCE), agent.said())
            publish(broker, "t/session", wanted[-1], 2)
            payloads = [message["payload"] for message in agent.result(collecting)["messages"]]
    if payloads == wanted:
        return "yes"
    must(payloads == wanted[-1:], payloads)
    return "not kept"


def exactly_once_out(broker, program):
    """The program publishes at QoS 2, and the link is cut at each of the four packets: others get it once."""
    came = set()
    with link_to(broker) as link, watching(broker, "t/out") as watcher:
        with running(program, broker, port=link.port, client_id="once-out", clean_session=False) as agent:
            # aedes keeps no session without a subscription, RabbitMQ none without one at QoS 1.
            agent.listen("mqtt_subscribe", topic="t/hold", qos=1, timeout=PATIENCE)
            steps = zip([TO_BROKER, TO_PROGRAM] * 2, [PUBLISH, FIRST_ANSWER, PUBREL, PUBCOMP])
            for step in steps:
                # After a session that had to be given up, it connects anew.
                must(wait(lambda: works(agent), PATIENCE), agent.said())
                link.lose(*step)
                try:
                    agent.call("mqtt_publish", topic="t/out", payload="x", qos=2, timeout=10)
                except Refused as refused:
                    must("outcome unknown" in str(refused), refused)
                    came.add("unknown")
                link.trap = None
                publish(broker, "t/out", "end", 2)
                copies = 0
                while (watcher.next() or must(False, "the end is missing"))[2] != "end":
                    copies += 1
                came.add(copies)
    return as_once(came)


def exactly_once_in(broker, program):
    """Others publish at QoS 2, and the program's link is cut at each of the four packets: it gets it once."""
    came = set()
    with link_to(broker) as link:
        with running(program, broker, port=link.port, client_id="once-in", clean_session=False) as agent:
            steps = zip([TO_PROGRAM, TO_BROKER] * 2, [PUBLISH, FIRST_ANSWER, PUBREL, PUBCOMP])
            for number, step in enumerate(steps):
                collecting = agent.listen("mqtt_subscribe", topic="t/in", qos=2, max_messages=2, timeout=5)
                connections = agent.said().count("connected to the broker")
                link.lose(*step)
                publish(broker, "t/in", f"x{number}", 2)
                wait(lambda: agent.said().count("connected to the broker") > connections, 1)
                link.trap = None
                must(wait(lambda: works(agent), PATIENCE), agent.said())
                publish(broker, "t/in", f"end{number}", 2)
                payloads = [message["payload"] for message in agent.result(collecting)["messages"]]
                came.add(payloads.count(f"x{number}"))
    return as_once(came)


def as_once(came):
    if "unknown" in came:
        return "told as unknown"
    return "yes" if came == {1} else "not always once"


def takeover(broker, program):
    """Two programs with one client id: they are told why they are thrown out."""
    sentence = "another client probably uses this client id"
    with running(program, broker, client_id="twin") as one, running(program, broker, client_id="twin") as other:
        twins = one, other
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if any(sentence in agent.said() for agent in twins):
                return "yes"
            connected = all("connected to the broker" in agent.said() for agent in twins)
            if connected and not any("next attempt in" in agent.said() for agent in twins):
                # Ten times each in turn.
                if all(works(agent) for agent in twins * 10) and not any("next attempt" in a.said() for a in twins):
                    return "both stay"
            time.sleep(0.05)
    return "not told"


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
    # One and a half times the keep-alive, and a second for a busy machine.
    must(took < 4, f"after {took:.1f} s")
    return "yes"


def restart(broker, program):
    """A subscription outlives the broker's death and restart, and misses nothing afterwards."""
    with running(program, broker) as agent:
        collecting = agent.listen("mqtt_subscribe", topic="t/again", qos=1, timeout=PATIENCE)
        broker.kill()
        broker.start()
        # What the program publishes leaves behind its subscriptions.
        must(wait(lambda: works(agent), PATIENCE), agent.said())
        publish(broker, "t/again", "first", 1)
        collected = agent.result(collecting)
        must(collected["messages_received"] == 1, collected)
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


# Packet types.
PUBLISH, FIRST_ANSWER, PUBREL, PUBCOMP = [3], [4, 5], [6], [7]

# In the order of the matrix. The last two disturb the broker.
def operator_list(broker, program):
    """The access list of the manual's chapter on the operator, on a broker of its own."""
    if broker.name not in operators.LISTS:
        return "not tried"
    return operators.examine(broker.name, program)


ALL = {
    "`mqtt_publish` at QoS 0, 1, 2": publish_at_each_qos,
    "messages of QoS 0, 1, 2": receive_at_each_qos,
    "subscription at QoS 0, 1, 2": subscribe_at_each_qos,
    "300 publishes at once": many,
    "retained message, `mqtt_read`": retained,
    "`mqtt_query`": query,
    "overlapping filters": overlap,
    "counts of overlapping filters": counted_twice,
    "`retained: only`": retained_only,
    "`mqtt_topics`, silence": overview,
    "`confirm` and `when`": proof,
    "`$share`": share,
    "1 MiB": large,
    "will": will,
    "birth and farewell": birth_and_farewell,
    "wrong password": wrong_password,
    "forbidden filter": refused_filter,
    "`--check --connect`": check_grants,
    "`--check`, wrong password": check_wrong_password,
    "`--check`, forbidden filter": check_refused_filter,
    "session kept": kept_session,
    "QoS 2 out, link cut anywhere": exactly_once_out,
    "QoS 2 in, link cut anywhere": exactly_once_in,
    "client id taken": takeover,
    "keep-alive of 2 s": keep_alive,
    "broker restarted": restart,
    "the operator's access list": operator_list,
}
