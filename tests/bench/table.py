"""Makes one Markdown table of the rows on standard input, and counts the aims.

A row is a line of JSON: its `part` of the table, the `figure`, its `unit` (us, B, /s, or none), `ours`, the same of
`peers`, and `aims`. A figure is a number or a list of them (p50 and p99); null, or a list of nulls, is one that was
not measured. An aim is that the first of ours is `at_most` or `at_least` a number, and `why` it is that number.
"""

import json
import sys

HOW_TO_READ = """\
Beside each peer's figure stands what it is of ours: ×3 is three times as much, ÷3 a third. p50 is the median, p99 what
99 of 100 do not exceed; kB and MB are 1,000 and 1,000,000 bytes."""

# What one is called, from how many of the row's unit on.
STEPS = {
    "us": [(1e6, "s"), (1e3, "ms"), (1, "µs")],
    "B": [(1e6, "MB"), (1e3, "kB"), (1, "B")],
    "/s": [(1, "/s")],
    "": [(1, "")],
}


def numbers(figure):
    """The numbers of a figure; none if it was not measured."""
    return [number for number in (figure if isinstance(figure, list) else [figure]) if number is not None]


def digits(number):
    """Three of them that mean something."""
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def words(number, unit):
    size, name = next((step for step in STEPS[unit] if number >= step[0]), STEPS[unit][-1])
    return f"{digits(number / size)} {name}".strip()


def relation(peer, ours):
    if peer <= 0 or ours <= 0:
        return None
    return f"×{digits(peer / ours)}" if peer >= ours else f"÷{digits(ours / peer)}"


def beside(name, figure, unit, ours):
    relations = [text for text in map(relation, figure, ours) if text]
    shown = f"{name} {' / '.join(words(number, unit) for number in figure)}"
    return f"{shown} ({' / '.join(relations)})" if relations else shown


def judged(aim, unit, ours):
    """The aim in words, and whether it is met."""
    least = "at_least" in aim
    limit = aim["at_least" if least else "at_most"]
    met = ours >= limit if least else ours <= limit
    why = f" ({aim['why']})" if aim["why"] else ""
    return f"{'≥' if least else '≤'} {words(limit, unit)}{why}: {'met' if met else '**missed**'}", met


def main():
    print(f"{HOW_TO_READ}\n\n| figure | mcpmqtt | beside it | aim |\n|---|---:|---|---|")
    part, verdicts = None, []
    for row in map(json.loads, sys.stdin):
        if row["part"] != part:
            part = row["part"]
            print(f"| **{part}** | | | |")
        unit, ours = row["unit"], numbers(row["ours"])
        peers = [(name, numbers(figure)) for name, figure in row["peers"].items()]
        others = "; ".join(beside(name, figure, unit, ours) for name, figure in peers if figure)
        aims = [judged(aim, unit, ours[0]) for aim in row["aims"]]
        verdicts += [met for _, met in aims]
        mine = " / ".join(words(number, unit) for number in ours)
        print(f"| {row['figure']} | {mine} | {others} | {'; '.join(text for text, _ in aims)} |")
    print(f"\naims: {sum(verdicts)} met, {len(verdicts) - sum(verdicts)} missed")


main()
