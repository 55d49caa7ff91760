"""Small processes that stand for hub, worker and agent endpoint: the supervisor is tested alone.

`python stand_ins.py hub` and so on, started by stand_in_up.py. Each writes what happens to it
into the file STAND_IN_JOURNAL; what STAND_IN_TROUBLE names goes wrong. Standard library only: it
starts fast.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any


def journal(line: str) -> None:
    """Appends one line; lines of several processes do not mix."""
    with Path(os.environ["STAND_IN_JOURNAL"]).open("a") as file:
        file.write(f"{line}\n")


def told_before() -> str:
    """The journal so far."""
    path = Path(os.environ["STAND_IN_JOURNAL"])
    return path.read_text() if path.exists() else ""


def has_trouble(word: str) -> bool:
    """Whether the test asked for this trouble."""
    return word in os.environ.get("STAND_IN_TROUBLE", "").split(",")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as the demo account needs, kept in memory and in a file."""

    def do_GET(self) -> None:
        path = self.path
        if path == "/health":
            self._answer(200, {})
        elif path == "/ready":
            self._answer(200, {"ready": True, "prices": "prices are made up"})
        elif path == "/api/market/symbols":
            self._answer(200, {"symbols": ["BTC/USDT", "ETH/USDT"]})
        elif path == "/api/agents":
            self._answer(200, _kept()["agents"])
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kept = _kept()
        answer: tuple[int, object] = (201, body)
        if self.path == "/auth/register":
            answer = (409 if kept["account"] else 201, {"access_token": "t"})
            kept["account"] = kept["account"] or body
        elif self.path == "/auth/login":
            answer = (200 if kept["account"] == body else 401, {"access_token": "t"})
        elif has_trouble("second agent") and len(kept["agents"]) == 1:
            answer = (503, {})
        else:
            kept["agents"].append(body)
        _hub_file().write_text(json.dumps(kept))  # before the answer: the next call reads it
        self._answer(*answer)

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def _hub_file() -> Path:
    return Path(os.environ["ARTIC_DATA_DIR"]) / "stand-in-hub.json"


def _kept() -> dict[str, Any]:
    path = _hub_file()
    kept: dict[str, Any] = {"account": None, "agents": []}
    return kept | (json.loads(path.read_text()) if path.exists() else {})


def serve(name: str) -> None:
    """Runs one stand-in until SIGTERM."""
    stopped = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(
        signal.SIGTERM, signal.SIG_IGN if has_trouble(f"{name} ignores SIGTERM") else stop
    )
    signal.signal(signal.SIGINT, lambda number, frame: journal(f"{name} got SIGINT"))
    if name in {"hub", "shim"}:
        host, port = (
            os.environ[f"ARTIC_{name.upper()}_HOST"],
            os.environ[f"ARTIC_{name.upper()}_PORT"],
        )
        server = ThreadingHTTPServer((host, int(port)), Hub)
        Thread(target=server.serve_forever, daemon=True).start()
    journal(f"{name} started {os.getpid()}")
    print(f"12:00:00 INFO    {name}: nothing special")
    print(f"12:00:00 WARNING {name}: mind the step")
    stopped.wait()
    journal(f"{name} stopped")


def main() -> None:
    """Plays the role named by the first argument."""
    role = sys.argv[1]
    if role == "pause":
        journal("paused")
    elif has_trouble(f"{role} dies at start") or (
        has_trouble(f"second {role} dies") and f"{role} started" in told_before()
    ):
        sys.exit(f"RuntimeError: {role} cannot")
    else:
        serve(role)


if __name__ == "__main__":
    main()
