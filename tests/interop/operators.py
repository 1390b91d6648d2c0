"""The access lists of config/OPERATOR.md, each tried on its broker: what the program's account can write below the
operator's topic, what the operator's can, and whether a halt reaches the program."""

import json
import pathlib
import re
import time

import agent
import brokers
import install

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "config/OPERATOR.md"
PASSWORD = "secret"


class AmqttWithAList(brokers.Amqtt):
    def prepare(self):
        config = self.file(
            "amqtt.yaml",
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n{documented('amqtt')}\n"
            "  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n",
        )
        return [install.venv() / "bin/amqtt", "-c", config]


class MosquittoWithAList(brokers.Mosquitto):
    def prepare(self):
        config = self.file(
            "conf",
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"acl_file {self.file('acl', documented('mosquitto'))}\n",
        )
        return [install.program("mosquitto", "mosquitto"), "-c", config]


class RabbitMqWithAList(brokers.RabbitMq):
    def definitions(self):
        users = ["mcpmqtt", "operator", "guest"]
        everything = {"configure": ".*", "write": ".*", "read": ".*", "vhost": "/"}
        return {
            "vhosts": [{"name": "/"}],
            # Who gives no name is `guest`.
            "users": [
                {"name": user, "password": "guest" if user == "guest" else PASSWORD, "tags": ""} for user in users
            ],
            "permissions": [{**everything, "user": user} for user in users],
            "topic_permissions": json.loads(documented("RabbitMQ")),
        }


class EjabberdWithAList(brokers.Ejabberd):
    accounts = ["mcpmqtt", "operator", "probe"]
    username, password = "probe@localhost", PASSWORD

    def rules(self):
        return documented("ejabberd")


LISTS = {
    "mosquitto": MosquittoWithAList,
    "rabbitmq": RabbitMqWithAList,
    "ejabberd": EjabberdWithAList,
    "amqtt": AmqttWithAList,
}


class Account:
    """One of the two accounts, in the place of a broker that demands it."""

    def __init__(self, broker, name):
        host = "@localhost" if broker.name == "ejabberd" else ""
        self.port, self.username, self.password = broker.port, name + host, PASSWORD

    def account(self):
        return {"username": self.username, "password": self.password}


def documented(name):
    """The list of the chapter with this name."""
    chapter = DOCUMENT.read_text().split(f"\n### {name}\n")[1].split("\n### ")[0]
    return re.search(r"\n```\w+\n(.*?)\n```\n", chapter, re.S)[1]


def examine(name, program):
    """"yes" when the list of this broker does what the chapter says, or what came of it."""
    broker = LISTS[name]()
    try:
        broker.start()
        own, operator = Account(broker, "mcpmqtt"), Account(broker, "operator")
        return writes(own, operator) or halts(program, own, operator) or "yes"
    finally:
        broker.close()


def writes(own, operator):
    """What each account can write and read; None when all is well."""
    allowed = [
        (own, "plant/op/ask/1", True),
        (own, "plant/op/record", True),
        (own, "plant/op/halt", False),
        (own, "plant/op/answer/1", False),
        (operator, "plant/op/answer/1", True),
    ]
    for account, topic, is_allowed in allowed:
        for reader in (own, operator):
            with agent.watching(reader, topic) as watcher:
                agent.publish(account, topic, "x", 1)
                came = watcher.next(10 if is_allowed else 1) is not None
            if came != is_allowed:
                word = "comes" if came else "does not come"
                return f"{topic} of {account.username} {word} to {reader.username}"
    return None


def halts(program, own, operator):
    """A halt stops the program, and its end lets it go on; None when both are so."""
    topics = [{"pattern": "line/#", "permissions": ["read", "write"]}]
    settings = {"topics": topics, "operator": {"topic": "plant/op"}}
    with agent.running(program, own, **settings) as running:
        if running.call("mqtt_publish", topic="line/a", payload="x", qos=1)["outcome"] != "delivered":
            return "nothing is published"
        agent.publish(operator, "plant/op/halt", "try", 1, "-r")
        if not eventually(lambda: "halted writing at" in refusal(running)):
            return "a halt does not reach the program"
        agent.publish(operator, "plant/op/halt", "", 1, "-r")
        if not eventually(lambda: refusal(running) == ""):
            return "the end of a halt does not reach the program"
    return None


def refusal(running):
    try:
        running.call("mqtt_publish", topic="line/a", payload="x", qos=1)
        return ""
    except agent.Refused as refused:
        return str(refused)


def eventually(holds):
    end = time.monotonic() + agent.PATIENCE
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False
