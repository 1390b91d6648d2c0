"""Serves the page, opens it in Chromium as two origins, and holds what it reports.

usage: drive.py SCRATCH PORT URL       (MCPMQTT_KEY: the key)
"""

import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading

SCRATCH, PORT, URL = sys.argv[1:]
PAGE = pathlib.Path(__file__).with_name("page.html").read_bytes()
reports = queue.Queue()


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(PAGE, "text/html; charset=utf-8")

    def do_POST(self):
        reports.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer(b"", "text/plain")

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def open_page(host):
    """What the page reports, opened under this host."""
    fragment = json.dumps({"url": URL, "key": os.environ["MCPMQTT_KEY"]}).encode().hex()
    browser = subprocess.Popen(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP *.example 127.0.0.1", f"--user-data-dir={SCRATCH}/{host}",
            f"http://{host}:{PORT}/#{fragment}",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(f"{SCRATCH}/browser.log", "a"),
    )
    try:
        return reports.get(timeout=90)
    except queue.Empty:
        sys.exit(f"{host}: no report; {pathlib.Path(SCRATCH, 'browser.log').read_text()[-2000:]}")
    finally:
        browser.terminate()
        browser.wait()


def must(condition, what, seen):
    if not condition:
        sys.exit(f"{what}: {json.dumps(seen)}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Pages)
threading.Thread(target=server.serve_forever, daemon=True).start()

seen = open_page("app.example")
must("error" not in seen, "the page of an allowed origin", seen)
must(seen["wrong"]["status"] == 401, "a wrong key is told to the page", seen)
must("invalid_token" in (seen["wrong"]["challenge"] or ""), "the challenge can be read", seen)
must(seen["version"] == "2025-11-25" and seen["session"], "a session, and its id", seen)
must("mqtt_publish" in seen["tools"], "tools", seen)
must(seen["stream"]["type"] == "text/event-stream", "a stream", seen)
must("21.5" in json.dumps(seen["stream"]["result"]), "the value of the sensor", seen)
must(seen["ended"] == 200, "the session is ended", seen)

seen = open_page("other.example")
must("TypeError" in seen.get("error", ""), "the page of another origin reads nothing", seen)
