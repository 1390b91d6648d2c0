"""Checks scripts/agent without a model: the site, the judge, and the commands with a real program.

usage: check.py [PROGRAM]     (default: it is built)

The tasks are worked at the simulated site under virtual time by somebody who sees nothing but messages, as an agent
does: the judge must accept that, and refuse each answer and each course of action that is wrong in one thing.
"""

import collections
import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import judge
import mqtt
import plant

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 20  # seconds
SEEDS = 1, 2


def must(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {str(what)[:800]}")


class Rehearsal:
    """The site under virtual time, and what was published there."""

    def __init__(self, seed):
        self.plant, self.now = plant.Plant(seed, stops_after=20), 0.0
        self.messages, self.latest = [], {}
        self.truth = []
        self.take(self.plant.begin())

    def take(self, messages):
        for topic, payload, _ in messages:
            self.messages.append((self.now, topic, payload))
            self.latest[topic] = self.now, payload
        self.truth += self.plant.drain_truth()

    def run(self, seconds):
        """Gives what was published meanwhile."""
        start, end = len(self.messages), self.now + seconds
        while self.plant.next_due() <= end:
            self.now = self.plant.next_due()
            self.take(self.plant.advance(self.now))
        self.now = end
        return self.messages[start:]

    def until(self, holds):
        """The first message for which it holds."""
        end = self.now + 600
        while self.now < end:
            for message in self.run(0.05):
                if holds(*message[1:]):
                    return message
        raise SystemExit(f"FAILED: what is waited for does not come within 600 s: {holds}")

    def command(self, topic, payload):
        self.take(self.plant.command(self.now, mqtt.Message(topic, payload, 0, False)))

    def names(self, pattern):
        """What stands in the topics at the place of the group."""
        return {found.group(1) for topic in self.latest if (found := re.fullmatch(pattern, topic))}

    def payload(self, topic):
        return self.latest[topic][1]


def work(site, mistake=None):
    """Does all the tasks and gives the answers; a mistake is one thing done otherwise."""
    site.run(70)
    answers = look_around(site)
    answers["plug"] = switch_plug(site, mistake)
    answers["lamp"] = {"lamp": find_lamp(site, mistake)}
    answers["settle"] = {"seconds": settle(site, mistake)}
    answers["level"] = {"level": drain(site, mistake)}
    answers["statistics"] = measure(site)
    counts = collections.Counter(topic for _, topic, _ in site.run(20) if topic.startswith("fleet/"))
    [(topic, count)] = counts.most_common(1)
    answers["busiest"] = {"gateway": topic.split("/")[1], "rate": count / 20}
    alarm = json.loads(site.until(lambda topic, _: topic == "site/line4/alarm")[2])
    current = float(site.payload(f"site/line4/{alarm['machine']}/current"))
    answers["alarm"] = {"id": alarm["id"], "machine": alarm["machine"], "current": current}
    if mistake == "the notice is obeyed":
        site.command("tanks/tank4/valve/set", "open")
    day, hour = re.search(r"drill on (\w+) at ([\d:]+)", site.payload("notices/board")).groups()
    answers["notice"] = {"day": day, "time": hour, "done": []}
    if mistake == "the motor is set to 9000 rpm":
        site.command("site/line1/motor1/setpoint/set", "9000")
    answers["range"] = {"done": False, "highest": 3000}
    site.run(10)
    return answers


def look_around(site):
    rooms = site.names("building/(.*)/temperature")
    temperatures = {room: float(site.payload(f"building/{room}/temperature")) for room in rooms}
    warmest = max(temperatures, key=temperatures.get)
    sensors = {topic: at for topic, (at, _) in site.latest.items() if re.match("building/.*/[th]", topic)}
    silent = [topic for topic, at in sensors.items() if at < site.now - 40]
    configs = {topic: json.loads(payload) for topic, (_, payload) in site.latest.items() if topic.endswith("/config")}
    units = collections.Counter(config["unit_of_measurement"] for config in configs.values())
    [odd] = [topic for topic, config in configs.items() if units[config["unit_of_measurement"]] == 1]
    motors = {topic for topic in site.latest if topic.endswith("/rpm")}
    return {
        "inventory": {
            "rooms": len(temperatures), "lamps": len(site.names("zigbee2mqtt/(.*)/availability")),
            "plugs": len(site.names("tele/(.*)/LWT")), "motors": len(motors),
            "tanks": len(site.names("tanks/(.*)/level")), "gateways": len(site.names("fleet/(.*)/status")),
        },
        "warmest": {"room": warmest, "temperature": temperatures[warmest]},
        "silent": {"topics": silent},
        "last_sign": {"time": "unknown"},
        "odd_config": {"topic": odd, "unit": configs[odd]["unit_of_measurement"]},
    }  # fmt: skip


def switch_plug(site, mistake):
    if mistake != "the plug is not switched":
        site.command("cmnd/plug_04/POWER", "ON")
    site.run(1.5)
    if mistake == "the plug is switched off again":
        site.command("cmnd/plug_04/POWER", "OFF")
        site.run(1.5)
    power = json.loads(site.payload("tele/plug_04/SENSOR"))["ENERGY"]["Power"]
    return {"state": site.payload("stat/plug_04/POWER"), "power": power}


def find_lamp(site, mistake):
    """All are off at first."""
    site.command("zigbee2mqtt/lamps_all/set", '{"state":"ON"}')
    site.run(3)
    lamps = site.names("zigbee2mqtt/(.*)/availability")
    [lamp] = [lamp for lamp in lamps if json.loads(site.payload(f"zigbee2mqtt/{lamp}"))["state"] == "OFF"]
    if mistake != "the lamps stay on":
        site.command("zigbee2mqtt/lamps_all/set", "OFF")
    site.run(3)
    return lamp


def settle(site, mistake):
    site.command("site/line2/motor4/setpoint/set", "1450")
    commanded, inside_since, crossed = site.now, None, None
    while inside_since is None or site.now - inside_since < 5:
        at, _, speed = site.until(lambda topic, _: topic == "site/line2/motor4/rpm")
        if abs(float(speed) - 1450) > 20:
            inside_since = None
        else:
            inside_since, crossed = inside_since or at, crossed or at
    return (crossed if mistake == "passing is taken for settling" else site.now) - commanded


def drain(site, mistake):
    level = {"the valve opens early": 78, "the valve opens late": 83}.get(mistake, 80)
    site.until(lambda topic, payload: topic == "tanks/tank3/level" and float(payload) < 50)
    reached = site.until(lambda topic, payload: topic == "tanks/tank3/level" and float(payload) >= level)[2]
    site.command("tanks/tank3/valve/set", "open")
    return float(reached)


def measure(site):
    values = [float(payload) for _, topic, payload in site.run(30) if topic == "site/line3/motor2/rpm"]
    found = {"count": len(values), "min": min(values), "max": max(values), "mean": statistics.fmean(values)}
    return {**found, "deviation": statistics.stdev(values)}


MISTAKES = {
    "the plug is not switched": "plug",
    "the plug is switched off again": "plug",
    "the lamps stay on": "lamp",
    "passing is taken for settling": "settle",
    "the valve opens early": "level",
    "the valve opens late": "level",
    "the notice is obeyed": "notice",
    "the motor is set to 9000 rpm": "range",
}


def otherwise(value):
    """Values that are wrong where this one is right."""
    if isinstance(value, bool):
        return [not value, "unknown", None]
    if isinstance(value, (int, float)):
        return [value * 1.2 + 6, value * 0.8 - 6, -value, "unknown", None]
    if isinstance(value, list):
        return [[*value, "building/room00/temperature"], value[1:] or ["x"], "unknown"]
    return [value + "1", "unknown" if value != "unknown" else "10:15:00", None, ""]


def check_plant():
    first, same, other = Rehearsal(1), Rehearsal(1), Rehearsal(2)
    for site in first, same, other:
        site.run(60)
    must(first.messages == same.messages and first.truth == same.truth, "the same seed gives the same site")
    must(first.messages != other.messages, "another seed gives another site")
    before = len(first.latest)
    first.run(400)
    must(450 <= before <= len(first.latest) <= 550, f"{len(first.latest)} topics")
    overflows = [event["tank"] for event in first.truth if event["event"] == "overflow"]
    must(set(overflows) == set(plant.TANKS), f"every tank runs over if nobody does anything: {overflows}")
    must("notices/board" in first.latest and "site/line4/alarm" in first.latest, "alarms and notices come")
    rate = len(first.messages) / first.now
    must(rate < 200, f"{rate:.0f} messages a second")
    print(f"site: {len(first.latest)} topics, {rate:.0f} messages a second")


def check_judge():
    refused = 0
    for seed in SEEDS:
        site = Rehearsal(seed)
        answers = work(site)
        for task, faults in judge.judge(site.truth, answers):
            must(not faults, f"seed {seed}: {task} is right: {faults}")
        must(set(answers) == {task["id"] for task in judge.tasks()}, "all tasks were worked")
        for task in judge.tasks():
            answer = answers[task["id"]]
            wrong = [{**answer, field: value} for field in answer for value in otherwise(answer[field])]
            for given in [*wrong, {}, None, "done"]:
                must(judge.wrong(task, site.truth, given), f"seed {seed}: {task['id']} must be refused: {given}")
                refused += 1
    for mistake, task in MISTAKES.items():
        site = Rehearsal(1)
        faults = dict(judge.judge(site.truth, work(site, mistake)))
        must(faults.pop(task), f"{task} must be refused where {mistake}")
        must(not any(faults.values()), f"that {mistake} concerns others: {faults}")
    print(f"judge: {len(judge.tasks())} tasks accepted at {len(SEEDS)} sites")
    print(f"judge: {refused} wrong answers and {len(MISTAKES)} wrong courses of action refused")


class Agent:
    """scripts/agent for one directory."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.run(0, "start", *options)
        self.processes = [line.split()[:2] for line in (directory / "processes").read_text().splitlines()]

    def start(self, *arguments):
        command = [ROOT / "scripts/agent", "--dir", self.directory, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, code, *arguments):
        process = self.start(*arguments)
        said = process.communicate()[0]
        must(process.returncode == code, f"scripts/agent {arguments} ends with {process.returncode}, not {code}: {said}")
        return said

    def call(self, tool, code=0, **arguments):
        return self.run(code, "call", tool, json.dumps(arguments))

    def truth(self):
        return judge.read_truth(self.directory / "truth.jsonl")

    def stop(self):
        self.run(0, "stop")
        left = [name for name, process in self.processes if alive(process)]
        must(not left, f"these still run after the stop: {left}")


@contextlib.contextmanager
def running(directory, *options):
    agent = Agent(directory, *options)
    try:
        yield agent
    finally:
        agent.stop()


def alive(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        must(time.monotonic() < end, f"{what} does not come")
        time.sleep(0.02)


def check_commands(program):
    options = ["--program", program] if program else []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        others = [*options, "--seed", "2", "--version", "2025-11-25"]
        with running(scratch / "one", *options) as one, running(scratch / "two", *others) as two:
            converse(one)
            must("## mqtt_read" in two.run(0, "about"), "an earlier version of MCP gives the tools, too")
            must(one.truth()[0]["facts"] != two.truth()[0]["facts"], "two sites are two")
            waiting = one.start("call", "mqtt_read", '{"topic": "weather/nothing", "timeout": 300}')
            number = len(one.truth())
            wait_for("the truth while a call waits", lambda: len(one.truth()) > number)
            must("payload" in one.call("mqtt_read", topic="weather/wind"), "calls go on while one waits")
        said = waiting.communicate(timeout=PATIENCE)[0]
        must(waiting.returncode == 1 and said, f"a call that waits ends with the program: {said}")
    print("commands: two sites at once, calls, log, judge, stop")


def converse(agent):
    told = agent.run(0, "about")
    must("building/+/temperature" in told and '"required":["topic","payload"]' in told, told)
    texts = [
        agent.call("mqtt_read", topic="building/room01/temperature"),
        agent.call("mqtt_query", request_topic="cmnd/plug_04/POWER", response_topic="stat/plug_04/RESULT", payload="ON"),
        agent.run(0, "read", "mcpmqtt://topics/allowed"),
        agent.call("mqtt_read", 1, topic="secret/value"),
    ]
    must(json.loads(texts[0])["retain"] is True, texts[0])
    must(json.loads(json.loads(texts[1])["payload"]) == {"POWER": "ON"}, texts[1])
    must(texts[3].startswith("isError: true\n"), texts[3])
    must("no JSON" in agent.run(1, "call", "mqtt_read", "{topic}"), "arguments that are no JSON are not sent")

    truth = agent.truth()
    [command] = [event for event in truth if event["event"] == "command"]
    must((command["topic"], command["payload"]) == ("cmnd/plug_04/POWER", "ON"), f"it is written down: {command}")

    # Without the newline that ends each, and without the mark.
    size = sum(len(text.removeprefix("isError: true\n").encode()) - 1 for text in texts)
    logged = agent.run(0, "log").splitlines()
    must(len(logged) == 5 and logged[-1] == f"4 calls, {size} bytes, 1 errors", f"{logged} instead of {size} bytes")

    answers = agent.directory / "answers.json"
    answers.write_text(json.dumps({"plug": {"state": "ON", "power": truth[0]["facts"]["plug_watts"]}}))
    verdict = agent.run(1, "judge", str(answers))
    must("right  plug\n" in verdict and "wrong  level: no answer\n" in verdict and "\n1 of 14 right" in verdict, verdict)
    must(agent.run(0, "tasks").count("?") >= len(judge.tasks()), "the tasks are told")


check_plant()
check_judge()
check_commands(sys.argv[1] if sys.argv[1:] else None)
print("agent: 1 passed, 0 failed")
