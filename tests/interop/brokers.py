"""The brokers: how each is started on loopback, in a directory of its own."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import install

PATIENCE = 90  # seconds; RabbitMQ on a busy machine takes half of it to start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NoStart(Exception):
    """A broker that does not start, and the end of its log."""


class Broker:
    """A broker process, with all that it starts in one process group."""

    name = ""
    # What it demands of everybody, if anything.
    username = password = None
    # A user name and password that it has to refuse, if it refuses any here.
    intruder = None
    # A filter that its access list forbids, if it has one here.
    forbidden = None

    def version(self):
        """Which one it is."""
        raise NotImplementedError

    def __init__(self):
        self.port = free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"mcpmqtt-interop-{self.name}-"))
        self.environment = dict(os.environ, HOME=str(self.directory))
        self.process = None
        self.command = self.prepare()

    def prepare(self):
        """Installs it, writes its configuration, and returns the command that starts it."""
        raise NotImplementedError

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command], cwd=self.directory, env=self.environment,
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        end = time.monotonic() + PATIENCE
        while not self.welcomes():
            if self.process.poll() is not None or time.monotonic() > end:
                raise NoStart(f"{self.name} does not start:\n{self.log()}")
            time.sleep(0.05)

    def welcomes(self):
        """Whether it accepts a CONNECT."""
        name = b"probe"
        body = b"\x00\x04MQTT\x04" + (b"\xc2" if self.username else b"\x02") + b"\x00\x3c"
        for field in filter(None, [name, self.username, self.password]):
            field = field if isinstance(field, bytes) else field.encode()
            body += len(field).to_bytes(2, "big") + field
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(2)
                connection.sendall(bytes([0x10, len(body)]) + body)
                answer = connection.recv(4)
                connection.sendall(b"\xe0\x00")
                return answer[:1] == b"\x20" and answer[3:4] == b"\x00"
        except OSError:
            return False

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        if self.process:
            # The group may outlive its first process.
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self):
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def account(self):
        """Its account as keys of our configuration."""
        return {"username": self.username, "password": self.password} if self.username else {}


class Mosquitto(Broker):
    name = "mosquitto"
    intruder = "stranger", "wrong"
    forbidden = "forbidden/#"

    def version(self):
        text = subprocess.run([self.command[0], "-h"], stdout=subprocess.PIPE, text=True).stdout
        return text.split("\n")[0].split()[-1]

    def prepare(self):
        deny = {"acltype": "subscribePattern", "topic": self.forbidden, "allow": False}
        acts = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"]
        rules = {
            "defaultACLAccess": dict.fromkeys(acts, True),
            "roles": [{"rolename": "anyone", "acls": [deny]}],
            "groups": [{"groupname": "anyone", "roles": [{"rolename": "anyone"}]}],
            "anonymousGroup": "anyone",
            "clients": [],
        }
        # Started by root it would become a user that may not read here.
        config = self.file(
            "conf",
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"plugin {install.library('mosquitto_dynamic_security.so', 'mosquitto')}\n"
            f"plugin_opt_config_file {self.file('rules.json', json.dumps(rules))}\n",
        )
        return [install.program("mosquitto", "mosquitto"), "-c", config]


class Aedes(Broker):
    name = "aedes"
    intruder = "stranger", "wrong"
    forbidden = "forbidden/#"

    def version(self):
        return json.loads((install.modules() / "node_modules/aedes/package.json").read_text())["version"]

    def prepare(self):
        return [install.program("node", "nodejs"), install.modules() / "aedes.mjs", self.port]


class RabbitMq(Broker):
    name = "rabbitmq"
    intruder = "guest", "wrong"
    forbidden = "forbidden/#"

    def version(self):
        return self.server.parents[1].name.split("-")[-1]

    def definitions(self):
        """Its users and what they may do."""
        guest, all_of_it = {"vhost": "/", "user": "guest"}, {"configure": ".*", "write": ".*", "read": ".*"}
        return {
            "vhosts": [{"name": "/"}],
            "users": [{"name": "guest", "password": "guest", "tags": ""}],
            "permissions": [{**guest, **all_of_it}],
            "topic_permissions": [{**guest, "exchange": "amq.topic", "write": ".*", "read": "^(?!forbidden)"}],
        }

    def prepare(self):
        root = install.unpacked("rabbitmq", install.RABBITMQ)
        self.server = next((root / "usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
        definitions = self.definitions()
        config = self.file(
            "rabbitmq.conf",
            f"listeners.tcp.1 = 127.0.0.1:{free_port()}\n"
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = true\nmqtt.default_user = guest\nmqtt.default_pass = guest\n"
            f"load_definitions = {self.file('definitions.json', json.dumps(definitions))}\n",
        )
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        self.environment.update(
            PATH=f"{root}/usr/lib/erlang/bin:{os.environ['PATH']}",
            LD_LIBRARY_PATH=str(next((root / "usr/lib").glob("*-linux-gnu*"))),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(free_port()),
            ERL_AFLAGS=loopback,
            RABBITMQ_NODENAME="interop@localhost",
            RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_MNESIA_BASE=str(self.directory / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.directory / "logs"),
            RABBITMQ_CONFIG_FILE=str(config),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.file("plugins", "[rabbitmq_mqtt].\n")),
            RABBITMQ_CONF_ENV_FILE="/dev/null",
        )
        epmd = next((root / "usr/lib/erlang").glob("erts-*/bin/epmd"))
        ready = f'until "{epmd}" -names >/dev/null; do sleep 0.05; done'
        return ["sh", "-c", f'"{epmd}" & {ready}; exec "{self.server}"']


class Ejabberd(Broker):
    name = "ejabberd"
    accounts = ["u"]
    username, password = "u@localhost", "p"
    intruder = "u@localhost", "wrong"
    forbidden = "forbidden/#"

    def rules(self):
        """Who may do what."""
        return 'modules:\n  mod_mqtt:\n    access_subscribe:\n      "t/#": all'

    def version(self):
        return self.code.parent.name.split("-")[1]

    def prepare(self):
        root = install.unpacked("ejabberd", install.EJABBERD)
        self.code = next((root / "usr/lib").glob("*/ejabberd-*/ebin"))
        config = self.file(
            "ejabberd.yml",
            "hosts: [localhost]\nloglevel: warning\nauth_method: internal\nlisten:\n"
            f"  - port: {self.port}\n    ip: 127.0.0.1\n    module: mod_mqtt\n{self.rules()}\n",
        )
        erts = next((root / "usr/lib/erlang").glob("erts-*"))
        self.environment.update(
            PATH=f"{erts}/bin:{os.environ['PATH']}",
            LD_LIBRARY_PATH=str(next((root / "usr/lib").glob("*-linux-gnu*"))),
            ROOTDIR=str(root / "usr/lib/erlang"),
            BINDIR=str(erts / "bin"),
            EMU="beam",
            PROGNAME="erl",
            EJABBERD_CONFIG_PATH=str(config),
            EJABBERD_LOG_PATH=str(self.directory / "ejabberd.log"),
        )
        register = " ".join(
            f'ejabberd_auth:try_register(<<"{user}">>, <<"localhost">>, <<"{self.password}">>){end}'
            for user, end in zip(self.accounts, ["," for _ in self.accounts[1:]] + ["."])
        )
        return [
            erts / "bin/erlexec", "-noinput", "-pa", self.code, "-mnesia", "dir", f'"{self.directory}/db"',
            "-s", "ejabberd", "-eval", register,
        ]


class Rumqttd(Broker):
    name = "rumqttd"
    username, password = "u", "p"
    intruder = "u", "wrong"

    def version(self):
        return install.rumqttd_version()

    def prepare(self):
        connections = {
            "connection_timeout_ms": 60000,
            "max_payload_size": 2 << 20,
            "max_inflight_count": 100,
            "auth": {self.username: self.password},
            "dynamic_filters": True,
        }
        server = {
            "name": "v4-1",
            "listen": f"127.0.0.1:{self.port}",
            "next_connection_delay_ms": 1,
            "connections": connections,
        }
        router = {
            "max_connections": 1000,
            "max_outgoing_packet_count": 200,
            "max_segment_size": 100 << 20,
            "max_segment_count": 10,
        }
        config = self.file("rumqttd.json", json.dumps({"id": 0, "router": router, "v4": {"1": server}}))
        return [install.rumqttd(), config]


class Iotcore(Broker):
    """A build of rumqttd for Python."""

    name = "iotcore"

    def version(self):
        return install.python_version("iotcore")

    def prepare(self):
        serve = (
            "from iotcore import IotCoreBroker\n"
            f"IotCoreBroker(listen='127.0.0.1', port={self.port}, max_payload_size=2 << 20).run_forever()\n"
        )
        return [install.venv() / "bin/python", "-c", serve]


class Amqtt(Broker):
    name = "amqtt"

    def version(self):
        return install.python_version("amqtt")

    def prepare(self):
        config = self.file(
            "amqtt.yaml",
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n",
        )
        return [install.venv() / "bin/amqtt", "-c", config]


ALL = {broker.name: broker for broker in [Mosquitto, Aedes, RabbitMq, Rumqttd, Iotcore, Ejabberd, Amqtt]}
