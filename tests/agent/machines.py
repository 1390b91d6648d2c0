"""Motors and tanks of the simulated site: their state, how it moves, and what they publish."""

import math

# What the tasks are about.
SETTLING_MOTOR = "line2", "motor4"
STATISTICS_MOTOR = "line3", "motor2"
WATCHED_TANK = "tank3"

SETTLED_WITHIN, SETTLED_FOR = 20, 5  # rpm, seconds
DRAIN_RATE, LOWEST, OVERFLOW_SECONDS = 5.0, 5.0, 15.0


class Motor:
    """Follows its setpoint as a drive does: past it and back, until it has settled."""

    DAMPING, FREQUENCY = 0.35, 0.8

    def __init__(self, plant, line, motor):
        self.plant, self.key, self.name = plant, (line, motor), f"site/{line}/{motor}"
        self.draw = plant.random(self.name)
        self.setpoint = float(50 * self.draw.randrange(14, 46))
        self.started, self.since = self.setpoint, -1000.0
        self.base = self.draw.uniform(4, 15)
        self.ripple, self.noise = (25, 6) if self.key == STATISTICS_MOTOR else (5, 2)
        self.overload_until = 0
        self.commanded, self.inside_since = None, None
        self.series = []

    def begin_at(self, setpoint):
        self.setpoint = self.started = float(setpoint)

    def begin(self):
        every = {STATISTICS_MOTOR: 0.2, SETTLING_MOTOR: 0.5}.get(self.key, 1)
        self.tell_setpoint()
        self.plant.every(every, self.tell_speed, self.draw)
        currents, heat = self.plant.random(f"{self.name}/current"), self.plant.random(f"{self.name}/temperature")
        self.plant.every(2, lambda at: self.tell_current(at, currents), currents)
        self.plant.every(10, lambda at: self.tell("temperature", f"{55 + heat.uniform(-2, 2):.1f}"), heat)

    def tell(self, what, payload, retain=False):
        self.plant.publish(f"{self.name}/{what}", payload, retain)

    def tell_setpoint(self):
        self.tell("setpoint", f"{self.setpoint:g}", True)

    def speed(self, at):
        passed = at - self.since
        own = self.FREQUENCY * math.sqrt(1 - self.DAMPING**2)
        fading = math.exp(-self.DAMPING * self.FREQUENCY * passed)
        swing = math.cos(own * passed) + self.DAMPING * self.FREQUENCY / own * math.sin(own * passed)
        return self.setpoint + (self.started - self.setpoint) * fading * swing

    def tell_speed(self, at):
        ripple = self.ripple * math.sin(2 * math.pi * at / 7) + self.draw.gauss(0, self.noise)
        speed = round(self.speed(at) + ripple, 1)
        self.tell("rpm", str(speed))
        if self.key == STATISTICS_MOTOR:
            self.series.append((round(at, 3), speed))
            if len(self.series) == 25:
                self.plant.note(at, "series", topic=f"{self.name}/rpm", values=self.series)
                self.series = []
        if self.commanded is not None:
            self.judge_settled(at, speed)

    def judge_settled(self, at, speed):
        """On what was published, as who watches it judges."""
        if abs(speed - self.setpoint) > SETTLED_WITHIN:
            self.inside_since = None
        elif self.inside_since is None:
            self.inside_since = at
        elif at - self.inside_since >= SETTLED_FOR:
            what = {"motor": self.name, "setpoint": self.setpoint, "after": round(at - self.commanded, 2)}
            self.plant.note(at, "settled", **what, entered_after=round(self.inside_since - self.commanded, 2))
            self.commanded = None

    def tell_current(self, at, draw):
        noise = draw.uniform(-0.1, 0.1)
        if at >= self.overload_until:
            self.tell("current", f"{self.base + noise:.2f}")

    def overload(self, at, factor):
        """The current of the moment; a second later it is as before."""
        self.overload_until = at + 1
        current = round(self.base * factor, 2)
        self.tell("current", f"{current:.2f}")
        self.plant.at(at + 1, lambda at: self.tell("current", f"{self.base:.2f}"))
        return current

    def command(self, now, payload):
        try:
            setpoint = float(payload)
        except ValueError:
            self.plant.note(now, "not understood", topic=f"{self.name}/setpoint/set", payload=payload)
            return
        self.started, self.setpoint, self.since = self.speed(now), setpoint, now
        self.commanded, self.inside_since = now, None
        self.plant.note(now, "setpoint", motor=self.name, setpoint=setpoint)
        self.tell_setpoint()


class Tank:
    """Fills while its valve is closed, runs over when it is full, and is emptied then. An open valve empties it."""

    def __init__(self, plant, name, rate):
        self.plant, self.name, self.rate = plant, name, rate
        self.draw = plant.random(name)
        self.level, self.since, self.slope = self.draw.uniform(10, 40), 0.0, rate
        self.course = 0

    def begin(self):
        self.tell_valve("closed")
        self.fill(0)
        period, digits = (0.2, 2) if self.name == WATCHED_TANK else (1, 1)
        self.plant.every(period, lambda at: self.tell("level", f"{self.level_at(at):.{digits}f}"), self.draw)
        self.plant.every(5, lambda at: self.tell("inflow", f"{self.rate * 20:.1f}"), self.draw)
        self.plant.every(10, lambda at: self.tell("temperature", "14.2"), self.draw)

    def tell(self, what, payload, retain=False):
        self.plant.publish(f"tanks/{self.name}/{what}", payload, retain)

    def tell_valve(self, state):
        self.valve = state
        self.tell("valve", state, True)

    def level_at(self, at):
        return max(0.0, min(100.0, self.level + self.slope * (at - self.since)))

    def change(self, at, slope, end, then):
        """From now on the level changes so, until it is at `end`."""
        self.level, self.since, self.slope = self.level_at(at), at, slope
        self.course += 1
        course = self.course

        def arrived(at):
            if self.course == course:
                then(at)

        self.plant.at(at + max(0.0, (end - self.level) / slope), arrived)

    def fill(self, at):
        self.change(at, self.rate, 100, self.overflow)

    def overflow(self, at):
        self.plant.note(at, "overflow", tank=self.name)
        self.level, self.since, self.slope = 100.0, at, 0.0
        course = self.course
        self.plant.at(at + OVERFLOW_SECONDS, lambda at: self.course == course and self.open(at, "site"))

    def open(self, at, by):
        self.plant.note(at, "valve", tank=self.name, to="open", by=by, level=round(self.level_at(at), 2))
        self.tell_valve("open")
        self.change(at, -DRAIN_RATE, LOWEST, lambda at: self.close(at, "site"))

    def close(self, at, by):
        self.plant.note(at, "valve", tank=self.name, to="closed", by=by, level=round(self.level_at(at), 2))
        self.tell_valve("closed")
        self.fill(at)

    def command(self, now, payload):
        match payload.strip().strip('"').lower():
            case "open" if self.valve == "closed":
                self.open(now, "command")
            case "close" | "closed" if self.valve == "open":
                self.close(now, "command")
            case "open" | "close" | "closed":
                self.tell_valve(self.valve)
            case _:
                self.plant.note(now, "not understood", topic=f"tanks/{self.name}/valve/set", payload=payload)
