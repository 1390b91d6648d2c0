"""Measures how large programs are, what memory they take and how soon they answer, as rows for table.py.

usage: footprint.py STARTS NATIVE SITE_PACKAGES PROGRAM...

For each: its size; resident memory after `tools/list` over stdio with the example configuration;
resident memory serving HTTP, after 100 such requests with a key; and the time from its start to the
first answer over stdio. The first and the last are medians of STARTS. The aims are for the programs of
scripts/build-static, of which only those are started that are for the architecture NATIVE.
SITE_PACKAGES is where the Python original is installed.
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


def memory(process):
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Rss:"))


def over_stdio(program):
    """Resident memory after `tools/list`, and the microseconds to its answer."""
    began = time.perf_counter()
    command = [program, "--config", EXAMPLE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(LIST + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        micros = 1e6 * (time.perf_counter() - began)
        assert b"mqtt_query" in answer, answer
        resident = memory(process)
        process.stdin.close()
    return resident, micros


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


def installed(site_packages):
    """Bytes of all files in it, without those of pip, which the original does not need."""
    files = (file for file in pathlib.Path(site_packages).rglob("*") if not file.is_dir())
    return sum(file.lstat().st_size for file in files
               if not file.relative_to(site_packages).parts[0].startswith(("pip", "setuptools")))


def described(program):
    """What program this is, and how large it may be: None where nothing is aimed at."""
    flavour, made = program.parent.name, program.parent.parent.name
    if made != "static":
        return f"{program.parent.name}/{program.name}, not made by scripts/build-static: no aims", None
    if flavour.endswith("-slim"):
        return f"the static program for {flavour.removesuffix('-slim')}, without TLS", 1.8e6
    return f"the static program for {flavour}, with TLS", 3e6


def row(part, figure, unit, ours, most, peers):
    aims = [{"at_most": most, "why": ""}] if most else []
    print(json.dumps({"part": part, "figure": figure, "unit": unit, "ours": ours, "peers": peers, "aims": aims}))


def main():
    starts, native, site_packages, *names = sys.argv[1:]
    programs = [pathlib.Path(name) for name in names]
    original = {"original and its Python packages": installed(site_packages)}
    for program in programs:
        name, largest = described(program)
        row("Size", name, "B", program.stat().st_size, largest, original)
    for program in programs:
        name, static = described(program)
        if static and program.parent.name.removesuffix("-slim") != native:
            continue
        print(f"footprint: {program}", file=sys.stderr)
        runs = [over_stdio(program) for _ in range(int(starts))]
        for figure, unit, ours, most in (
            ("resident memory after `tools/list` over stdio", "B", statistics.median(run[0] for run in runs), 2.5e6),
            ("resident memory after 100 `tools/list` over HTTP", "B", over_http(program), 4e6),
            ("start to first answer over stdio", "us", statistics.median(run[1] for run in runs), 3e3),
        ):
            row(f"Memory and start of {name}", figure, unit, ours, most if static else None, {})


main()
