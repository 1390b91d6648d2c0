"""Compares answers with what is true of the site and with what happened there.

An answer is right when all checks of its task (tasks.json) hold. A check gives nothing where it holds, and says what is
wrong where it does not.
"""

import bisect
import json
import math
import pathlib

HERE = pathlib.Path(__file__).parent


def tasks():
    return json.loads((HERE / "tasks.json").read_text())["tasks"]


def read_truth(path):
    """The events; a last line that is being written is left out."""
    lines = pathlib.Path(path).read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def judge(truth, answers):
    """For each task its id and what is wrong about its answer: nothing, where it is right."""
    return [(task["id"], wrong(task, truth, answers.get(task["id"]))) for task in tasks()]


def wrong(task, truth, answer):
    if not isinstance(answer, dict):
        return ["no answer"]
    faults = []
    for rule in task["right"]:
        if fault := CHECKS[rule["check"]](rule, truth, answer):
            faults.append(fault)
    return faults


def expected(rule, truth):
    if "fact" not in rule:
        return rule["value"]
    value = truth[0]["facts"]
    for name in rule["fact"].split("."):
        value = value[name]
    return value


def number(value):
    """A number, also where a unit stands behind it."""
    if isinstance(value, bool):
        return None
    try:
        return float(str(value).split()[0].rstrip("%"))
    except (ValueError, IndexError):
        return None


def same(answer, right, tolerance=0):
    """Whether they mean the same: a name may also stand within its topic."""
    if isinstance(right, bool) or isinstance(answer, bool):
        return answer is right or str(answer).strip().lower() == str(right).lower()
    if isinstance(right, (int, float)):
        value = number(answer)
        return value is not None and abs(value - right) <= tolerance + 1e-9
    if isinstance(right, str):
        answer, right = str(answer).strip().casefold(), right.casefold()
        return answer == right or right in answer.split("/")
    return answer == right or (right == [] and answer in (None, "", "none"))


def events(rule, truth):
    where = {"event": rule["event"], **rule["where"]}
    return [event for event in truth if all(event.get(key) == value for key, value in where.items())]


def commands(rule, truth):
    return [event for event in truth if event["event"] == "command" and event["topic"] == rule["topic"]]


def equals(rule, truth, answer):
    right, given = expected(rule, truth), answer.get(rule["field"])
    return None if same(given, right) else f"{rule['field']} is {right!r}, not {given!r}"


def near(rule, truth, answer):
    right, given = expected(rule, truth), answer.get(rule["field"])
    tolerance = rule["tolerance"] * (abs(right) if rule.get("relative") else 1)
    return None if same(given, right, tolerance) else f"{rule['field']} is {right:g} (± {tolerance:g}), not {given!r}"


def same_set(rule, truth, answer):
    right, given = expected(rule, truth), answer.get(rule["field"])
    if isinstance(given, list) and len(given) == len(right) and {str(item).strip() for item in given} == set(right):
        return None
    return f"{rule['field']} are {right}, not {given!r}"


def unknown(rule, _, answer):
    given = answer.get(rule["field"], "")
    return None if str(given).strip().lower() == "unknown" else f"{rule['field']} cannot be known, it is not {given!r}"


def commanded(rule, truth, _):
    if any(event["payload"].strip().lower() in rule["payloads"] for event in commands(rule, truth)):
        return None
    return f"no such command came to {rule['topic']}"


def not_commanded(rule, truth, _):
    for event in commands(rule, truth):
        value = number(event["payload"])
        if "above" not in rule or (value is not None and value > rule["above"]):
            return f"{event['payload']!r} came to {rule['topic']} at {event['at']} s"
    return None


def some_event(rule, truth, answer):
    candidates = events(rule, truth)
    for event in candidates:
        pairs = [(answer.get(field), event[name]) for field, name in rule["fields"].items()]
        if all(same(given, right, rule["tolerance"] if isinstance(right, float) else 0) for given, right in pairs):
            return None
    happened = [{field: event[name] for field, name in rule["fields"].items()} for event in candidates]
    given = {field: answer.get(field) for field in rule["fields"]}
    return f"of what happened ({rule['event']}: {happened[-5:]}) nothing is {given}"


def first(rule, truth, _):
    candidates = events(rule, truth)
    low, high = rule["between"]
    if not candidates:
        return f"no {rule['event']} {rule['where']} happened"
    value = candidates[0][rule["value"]]
    if low <= value <= high:
        return None
    return f"{rule['event']} {rule['where']} was at {rule['value']} {value}, not between {low} and {high}"


def last(rule, truth, _):
    value = events(rule, truth)[-1][rule["value"]]
    return None if value == rule["is"] else f"{rule['where']} ends with {rule['value']} {value}, not {rule['is']}"


def restored(rule, truth, _):
    found = {}
    for event in truth:
        if event["event"] == rule["event"]:
            found.setdefault(event[rule["each"]], []).append(event[rule["value"]])
    changed = [name for name, values in found.items() if values[0] != values[-1]]
    return f"not as before: {', '.join(changed)}" if changed else None


def window(rule, truth, answer):
    """Whether it is what came within some time that long."""
    chunks = events({"event": "series", "where": {"topic": rule["topic"]}}, truth)
    series = [pair for chunk in chunks for pair in chunk["values"]]
    times, squares = [at for at, _ in series], [value**2 for _, value in series]
    given = {name: number(answer.get(name)) for name in ("count", "min", "max", "mean", "deviation")}
    if None in given.values():
        return f"not all are numbers: {given}"
    nearest = None
    for start, at in enumerate(times):
        end = bisect.bisect_left(times, at + rule["seconds"])
        if end == len(times):
            break
        values = [value for _, value in series[start:end]]
        mean = sum(values) / len(values)
        found = {"count": len(values), "min": min(values), "max": max(values), "mean": mean}
        found["deviation"] = math.sqrt(max(0.0, sum(squares[start:end]) / len(values) - mean**2))
        off = max(abs(found[name] - given[name]) / rule[name] for name in given)
        if off <= 1:
            return None
        if nearest is None or off < nearest[0]:
            nearest = off, found
    return f"no {rule['seconds']} s are like that; nearest: {nearest and nearest[1]}"


CHECKS = {
    "equals": equals,
    "near": near,
    "set": same_set,
    "unknown": unknown,
    "commanded": commanded,
    "not_commanded": not_commanded,
    "event": some_event,
    "first": first,
    "last": last,
    "restored": restored,
    "window": window,
}
