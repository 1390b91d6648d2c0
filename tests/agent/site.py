"""Runs the simulated site at a broker on this machine until it is ended.

usage: site.py PORT TRUTH [--seed N] [--stops-after SECONDS]

Writes what is true and what happens to the file TRUTH, a JSON object in each line, `at` in seconds since the start, and
prints `ready` when the broker has all retained messages.
"""

import argparse
import json
import math
import signal
import sys
import time

import mqtt
import plant

GRID = 0.05  # seconds: what is due within one step is sent at once


class Ended(Exception):
    pass


def end(*_):
    raise Ended


def write_down(site, file):
    for event in site.drain_truth():
        file.write(json.dumps(event) + "\n")
    file.flush()


def run(port, truth, seed, stops_after):
    site = plant.Plant(seed, stops_after)
    client = mqtt.Client(port, "site")
    try:
        client.subscribe(*plant.COMMANDS)
        start = time.monotonic()
        for message in site.begin():
            client.publish(*message)
        # The broker takes messages in their order.
        client.publish_acknowledged("notices/ready", "yes")
        write_down(site, truth)
        print("ready", flush=True)
        while True:
            publish(client, site.advance(time.monotonic() - start))
            due = math.ceil(site.next_due() / GRID) * GRID
            commands = client.receive(max(0.0, due - (time.monotonic() - start)))
            for message in commands:
                # What was due before the command is published before its effects.
                now = time.monotonic() - start
                publish(client, site.advance(now) + site.command(now, message))
            client.flush()
            if site.truth:
                write_down(site, truth)
    finally:
        client.close()


def publish(client, messages):
    for message in messages:
        client.publish(*message)


def main():
    arguments = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    arguments.add_argument("port", type=int)
    arguments.add_argument("truth")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--stops-after", type=float, default=60)
    given = arguments.parse_args()
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, end)
    try:
        with open(given.truth, "w") as truth:
            run(given.port, truth, given.seed, given.stops_after)
    except Ended:
        return 0
    except OSError as error:
        print(f"site.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
