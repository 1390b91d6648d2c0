"""Where the brokers come from: npm, PyPI and Debian, at fixed versions, outside the repository.

Debian's packages are unpacked, not installed: no service starts, and no root is needed.
"""

import filecmp
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mcpmqtt-dev"

# What RabbitMQ and ejabberd of Debian 12 need beyond a plain system.
ERLANG = """
erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-eunit erlang-ftp erlang-inets erlang-mnesia erlang-odbc
erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl erlang-syntax-tools
erlang-tftp erlang-tools erlang-xmerl libltdl7 libodbc2
""".split()
RABBITMQ = [*ERLANG, "rabbitmq-server"]
EJABBERD = [
    *ERLANG,
    *"""
    ejabberd erlang-base64url erlang-dialyzer erlang-goldrush erlang-idna erlang-jiffy erlang-jose erlang-lager
    erlang-p1-acme erlang-p1-cache-tab erlang-p1-eimp erlang-p1-mqtree erlang-p1-pkix erlang-p1-stringprep
    erlang-p1-stun erlang-p1-tls erlang-p1-utils erlang-p1-xml erlang-p1-xmpp erlang-p1-yaml erlang-p1-yconf
    erlang-p1-zlib erlang-proper erlang-unicode-util-compat
    """.split(),
]


def program(name, package):
    """A program of the system; Debian puts daemons where only root looks."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        sys.exit(f"interop: {name} is missing; on Debian: apt-get install {package}")
    return path


def library(name, package):
    """A library of the system."""
    usr = pathlib.Path("/usr")
    for directory in [*usr.glob("lib/*-linux-*"), usr / "lib", usr / "lib64"]:
        if (directory / name).exists():
            return directory / name
    sys.exit(f"interop: {name} is missing; on Debian: apt-get install {package}")


def modules():
    """The directory with aedes and what starts it."""

    def make(directory):
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, directory)
        npm = [program("npm", "npm"), "--prefix", directory, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)

    directory = made_from(HERE / "package-lock.json", CACHE / "interop-node", make)
    shutil.copy(HERE / "aedes.mjs", directory)
    return directory


def venv():
    """The directory of the Python environment with amqtt and iotcore."""

    def make(directory):
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        pip = [directory / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        subprocess.run([*pip, HERE / "requirements.txt"], check=True)

    return made_from(HERE / "requirements.txt", CACHE / "interop-python", make)


def python_version(package):
    """The version of a package in that environment."""
    [found] = venv().glob(f"lib/python*/site-packages/{package}-*.dist-info")
    return found.name.removesuffix(".dist-info").split("-")[1]


def unpacked(name, packages):
    """The directory into which Debian's packages are unpacked."""
    wanted = CACHE / f"interop-{name}.packages"
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted.write_text("\n".join(packages))

    def make(directory):
        program("apt-get", "apt")
        debs = directory / "debs"
        debs.mkdir()
        download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages]
        if subprocess.run(download, cwd=debs, stdout=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL)
            subprocess.run(download, cwd=debs, stdout=subprocess.DEVNULL, check=True)
        for deb in sorted(debs.iterdir()):
            subprocess.run(["dpkg-deb", "-x", deb, directory], check=True)
        shutil.rmtree(debs)
        erl = directory / "usr/lib/erlang/bin/erl"
        erl.write_text(erl.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={directory}/usr/lib/erlang"))

    return made_from(wanted, CACHE / f"interop-{name}", make)


def rumqttd():
    """The broker of the package beside this file, built if it is not."""
    target = CACHE / "interop-rumqttd"
    manifest = HERE / "rumqttd/Cargo.toml"
    cargo = [program("cargo", "cargo"), "build", "--locked", "--quiet", "--manifest-path", manifest]
    subprocess.run([*cargo, "--target-dir", target], check=True)
    return target / "debug/mcpmqtt-rumqttd"


def rumqttd_version():
    """The version of rumqttd in it."""
    lock = (HERE / "rumqttd/Cargo.lock").read_text()
    return lock.split('name = "rumqttd"\nversion = "')[1].split('"')[0]


def made_from(file, directory, make):
    """Makes the directory, unless it was made from the same file before."""
    stamp = directory / ".made-from"
    if not (stamp.exists() and filecmp.cmp(file, stamp, shallow=False)):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        make(directory)
        shutil.copy(file, stamp)
    return directory
