"""A newcomer's first minutes: the README's own commands against what `make run` has started, and
what that has written into its logs meanwhile, at debug.
"""

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.cli.running_up import READY, ROOT, free_ports
from tests.conftest import wait_for

README = (ROOT / "README.md").read_text(encoding="utf-8")
HUB, SOCKET = "http://127.0.0.1:9000", "ws://127.0.0.1:9000"
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
FOLLOW_S = 4
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Visit:
    """The running stack: its ports, its data, and what it has printed."""

    process: Process
    hub: str
    shim: str
    data_dir: Path
    printed: list[str]

    @property
    def logs(self) -> dict[str, str]:
        """What each process has written."""
        return {each.stem: each.read_text() for each in (self.data_dir / "logs").iterdir()}

    def lines(self, process: str) -> list[dict[str, Any]]:
        """The JSON lines of a process."""
        return [json.loads(line) for line in self.logs[process].splitlines()]


@asynccontextmanager
async def make_run(data_dir: Path) -> AsyncIterator[Visit]:
    """`make run` with ports of its own; at the end Ctrl-C, and it has to end well."""
    hub_port, shim_port = free_ports()
    flags = f"--port {hub_port} --shim-port {shim_port} --data-dir {data_dir}"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = {"ARTIC_ENV_FILE": "", "ARTIC_LOG_LEVEL": "debug", "ARTIC_LOG_FORMAT": "json"}
    process = await asyncio.create_subprocess_exec(
        "make", "run", f"ARGS={flags}", cwd=ROOT, env=kept | told, stdin=DEVNULL, stdout=PIPE,
        stderr=STDOUT, start_new_session=True,
    )  # fmt: skip
    hub, shim = f"http://127.0.0.1:{hub_port}", f"http://127.0.0.1:{shim_port}"
    visit = Visit(process, hub, shim, data_dir, [])
    reading = asyncio.create_task(_collect(process, visit.printed))
    try:
        await wait_for(lambda: READY in visit.printed or process.returncode is not None, seconds=90)
        assert process.returncode is None, visit.printed
        yield visit
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        await asyncio.wait_for(process.wait(), 40)
        await reading
    assert visit.printed[-1] == "Stopped.", visit.printed


async def _collect(process: Process, lines: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        lines.append(line.decode().rstrip())


async def test_the_readme_does_what_it_says_and_the_logs_hold_no_secret(data_dir: Path) -> None:
    assert "    make run\n" in README
    async with make_run(data_dir) as visit:
        before = set(os.listdir(ROOT))
        said = await shell(visit)
        assert set(os.listdir(ROOT)) == before
        check_answers(said)
        used = await use_everything(visit)
    secrets = {*used, said.token, said.key, *secrets_of(data_dir)}
    assert len(secrets) > 12
    demo = json.loads((data_dir / "demo.json").read_text())["password"]
    written = visit.logs | {"printed": "\n".join(visit.printed).replace(demo, "")}
    assert {"hub", "worker-1", "worker-2", "agent-endpoint", "postgres", "redis"} <= set(written)
    for process, text in written.items():
        found = [secret for secret in secrets if secret in text]
        assert not found, (process, [line for line in text.splitlines() if found[0] in line][:3])
        assert "Traceback" not in text, process
    check_fields(visit, said.agent)


@dataclass(frozen=True)
class Said:
    """What the README's commands have printed, and what they have kept in variables."""

    answers: list[Any]
    followed: str
    token: str
    key: str
    agent: str


async def shell(visit: Visit) -> Said:
    """Runs the blocks of the README one after the other, in one plain shell."""
    follow = f"timeout {FOLLOW_S} .venv/bin/websockets"
    script = "\necho; echo ----\n".join(BLOCKS)
    assert ".venv/bin/websockets" in script
    script = script.replace(".venv/bin/websockets", follow).replace(
        '?token=$TOKEN"', '?token=$TOKEN" || test $? = 124'
    )
    script = script.replace(HUB, visit.hub).replace(SOCKET, visit.hub.replace("http", "ws"))
    assert "9000" not in script
    script += '\necho; echo ----\necho "$TOKEN $KEY $AGENT"\n'
    process = await asyncio.create_subprocess_exec(
        "sh", "-euc", script, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
        assert await process.wait() == 0, (out, err)
    first, followed, last, kept = out.decode().split("----\n")
    token, key, agent = kept.split()
    return Said([*values(first), *values(last)], followed, token, key, agent)


def values(text: str) -> Iterator[Any]:
    """JSON values that stand one after the other."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def check_answers(said: Said) -> None:
    """They are what the README promises."""
    status, logs, edited, trades, stopped = said.answers
    assert (status["agent_id"], status["symbol"]) == (said.agent, "BTC/USDT")
    assert logs.keys() == {"entries"}
    assert (edited["id"], edited["risk_params"]["stop_loss_pct"]) == (said.agent, 0.5)
    assert edited["risk_params"]["leverage"] == 3
    assert trades.keys() == {"trades", "next"}
    assert stopped["status"] == "stopped"
    shown = [line for line in said.followed.splitlines() if '"agent_status"' in line]
    assert len(shown) >= FOLLOW_S - 2, said.followed


async def use_everything(visit: Visit) -> set[str]:
    """Every credential in every place where it may stand, right and wrong; answers the secrets."""
    login = {"email": "second@example.com", "password": "secret-of-second"}
    wrong = {"email": "second@example.com", "password": "secret-but-wrong"}
    async with httpx.AsyncClient(base_url=visit.hub, trust_env=False, timeout=20) as http:
        pair = (await http.post("/auth/register", json=login)).json()
        assert (await http.post("/auth/register", json=login)).status_code == 409
        assert (await http.post("/auth/login", json=wrong)).status_code == 401
        assert (await http.post("/auth/login", json=login | {"x": "secret-x"})).status_code == 422
        cut = json.dumps(login)[:-1].encode()
        typed = {"Content-Type": "application/json"}
        assert (await http.post("/auth/login", content=cut, headers=typed)).status_code == 400
        spent = {"refresh_token": pair["refresh_token"]}
        newer = (await http.post("/auth/refresh", json=spent)).json()
        token = pair["access_token"]
        mine = {"Authorization": f"Bearer {token}", "X-Request-ID": token}
        body = {"symbol": "BTC", "strategy_name": "breakout"}
        agent = (await http.post("/api/agents", json=body, headers=mine)).json()["id"]
        for path in ("/api/me", f"/api/agents/{agent}", "/health", "/nothing"):
            await http.get(f"{path}?token=secret-query&key={token}", headers=mine)
        stolen = {"X-API-Key": "ak_secret-key-of-nobody", "X-Internal-Secret": "secret-internal"}
        assert (await http.get("/api/me", headers=stolen)).status_code == 401
        assert (await http.post("/internal/logs", json={}, headers=stolen)).status_code == 403
        socket = visit.hub.replace("http", "ws") + f"/ws?token={token}"
        async with connect(socket, proxy=None) as stream:
            await stream.recv()
        async with connect(f"{socket}secret-token", proxy=None) as stream:
            await stream.wait_closed()
        at_shim = {"Host": f"artic-agent-{agent}:8000", "X-Request-ID": "at-the-shim", **mine}
        at_shim["X-Request-ID"] = "at-the-shim"
        async with httpx.AsyncClient(base_url=visit.shim, trust_env=False, timeout=20) as shim:
            for path in ("/health", "/status", "/logs?limit=5", "/logs?token=secret-query"):
                await shim.get(path, headers=at_shim)
            assert (await shim.post("/stop", headers=at_shim)).status_code == 200
        assert (await http.post("/auth/refresh", json=spent)).status_code == 401
    tokens = {each[kind] for each in (pair, newer) for kind in ("access_token", "refresh_token")}
    words = {"secret-query", "secret-internal", "secret-key-of-nobody", "secret-token", "secret-x"}
    return tokens | words | {*login.values(), wrong["password"]}


def secrets_of(data_dir: Path) -> set[str]:
    """What the stack keeps for itself."""
    found = {line.partition("=")[2].strip("\"'") for line in
             (data_dir / "secrets.env").read_text().splitlines() if "=" in line}  # fmt: skip
    found.add((data_dir / "postgres.password").read_text().strip())
    found.add(json.loads((data_dir / "demo.json").read_text())["password"])
    assert all(len(secret) >= 16 for secret in found)
    return found


def check_fields(visit: Visit, agent: str) -> None:
    """Lines say what they are about, in every process."""
    told = [line for number in (1, 2) for line in visit.lines(f"worker-{number}")]
    about_it = [line for line in told if line.get("agent_id") == agent]
    assert [line["message"].partition(",")[0] for line in about_it][:2] == ["created", "started"]
    assert all({"shard", "slot"} <= line.keys() for line in about_it)
    hub = visit.lines("hub")
    access = [line for line in hub if line["logger"] == "artic.access"]
    assert all("request_id" in line for line in access)
    passed_on = [line for line in access if line["request_id"] == "at-the-shim"]
    assert any("/endpoint/status 200" in line["message"] for line in passed_on)
    assert any("user_id" in line for line in access)
    assert any(line["message"].startswith("WebSocket /ws closed 4401 ") for line in access)
