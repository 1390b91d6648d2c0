"""Measures how large programs are, what memory they take and how soon they answer, as rows for table.py.

usage: footprint.py STARTS NATIVE ORIGINAL CONFIG PROGRAM...

For each: its size; resident memory after `tools/list` over stdio with the example configuration;
resident memory serving HTTP, after 100 such requests with a key; and the time from its start to the
first answer over stdio. The first and the last are medians of STARTS. The aims are for the programs of
scripts/build-static, of which only those are started that are for the architecture NATIVE. ORIGINAL is
the virtual environment of the Python original, which is measured beside them, with a CONFIG of its own: it
does not read the example, and ends where there is no broker.
"""

import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "config/examples/example_config.json"
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "footprint", "version": "1"},
}
LIST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}).encode()
# The original lists nothing before it was greeted.
GREETING = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": META["io.modelcontextprotocol/clientInfo"],
}}).encode()
GREETED = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
MIB = 1024 * 1024


def memory(process):
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Rss:"))


def over_stdio(program, config, starts, requests):
    """Resident memory after the last answer, and the microseconds to the first one; medians."""
    runs = [once_over_stdio(program, config, requests) for _ in range(starts)]
    return [statistics.median(figures) for figures in zip(*runs)]


def once_over_stdio(program, config, requests):
    began = time.perf_counter()
    command = [program, "--config", config]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        answered = []
        for request in requests:
            process.stdin.write(request + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            answered.append(time.perf_counter())
        assert b"mqtt_query" in answer, answer
        resident = memory(process)
        process.stdin.close()
    return resident, 1e6 * (answered[0] - began)


def over_http(program):
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        path = os.path.join(scratch, "config.json")
        with open(path, "w") as file:
            config = json.loads(EXAMPLE.read_text())
            json.dump({**config, "remote_server": {"host": "127.0.0.1", "port": port}}, file)
        genkey = subprocess.run([program, "--genkey", "--config", path], check=True, capture_output=True, text=True)
        fields = {
            "Authorization": f"Bearer {genkey.stdout.strip()}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "MCP-Method": "tools/list",
        }
        command = [program, "--transport", "remotehttp", "--config", path]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            connection = connect(port)
            for _ in range(100):
                connection.request("POST", "/mcp", LIST, fields)
                answer = connection.getresponse()
                assert answer.status == 200 and b"mqtt_query" in answer.read(), answer.status
            return memory(process)
        finally:
            process.terminate()
            process.wait()


def connect(port):
    end = time.monotonic() + 10
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.connect()
            return connection
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def installed(environment):
    """Bytes of its Python packages, without those that every environment has."""
    packages = next(environment.glob("lib/python3*/site-packages"))
    others = ("pip", "setuptools", "pkg_resources", "_distutils")
    files = (file for file in packages.rglob("*") if not file.is_dir())
    return sum(file.lstat().st_size for file in files if not file.relative_to(packages).parts[0].startswith(others))


def described(program):
    """What program this is, and how large it may be: None where nothing is aimed at."""
    flavour, made = program.parent.name, program.parent.parent.name
    if made != "static":
        return f"{program.parent.name}/{program.name}, not made by scripts/build-static: no aims", None
    if flavour.endswith("-slim"):
        return f"the static program for {flavour.removesuffix('-slim')}, without TLS", 1.8e6
    return f"the static program for {flavour}, with TLS", 3e6


def row(part, figure, unit, ours, most, why="", original=None):
    aims = [{"at_most": most, "why": why}] if most else []
    print(json.dumps({"part": part, "figure": figure, "unit": unit, "ours": ours, "peers": {"original": original},
                      "aims": aims}))


def main():
    starts, native, environment, config, *names = sys.argv[1:]
    programs, environment = [pathlib.Path(name) for name in names], pathlib.Path(environment)
    size = installed(environment)
    for program in programs:
        name, largest = described(program)
        row("Size (the original: with the Python packages it needs)", name, "B", program.stat().st_size, largest,
            original=size)
    print("footprint: the original", file=sys.stderr)
    original = over_stdio(environment / "bin/mcpMQTT", config, 3, [GREETING, GREETED + b"\n" + LIST])
    for program in programs:
        name, static = described(program)
        if static and program.parent.name.removesuffix("-slim") != native:
            continue
        print(f"footprint: {program}", file=sys.stderr)
        resident, start = over_stdio(program, EXAMPLE, int(starts), [LIST])
        part = f"Memory and start of {name}"
        row(part, "resident memory after `tools/list` over stdio", "B", resident, static and 2.5 * MIB, "2.5 MiB",
            original[0])
        resident = over_http(program)
        row(part, "resident memory after 100 `tools/list` over HTTP", "B", resident, static and 4 * MIB, "4 MiB")
        row(part, "start to first answer over stdio", "us", start, static and 3e3, original=original[1])


main()
