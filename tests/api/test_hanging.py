"""Dependencies that do not die but hang, as in a machine that is frozen: bounded answers, and back.

The real servers are stopped in the sense of SIGSTOP: they take connections and say nothing.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.embedded_redis import EmbeddedRedis
from adapters.settings import Settings
from tests.api.serving import AGENT, receive_until, serve
from tests.api.test_degraded import SLOW_AGENT, own_postgres, own_redis
from tests.conftest import wait_for

__all__ = ["own_postgres", "own_redis"]

ANSWER_S = 9.0
"""Five for the server, the rest for a busy machine."""


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """A server and its children hang inside."""
    assert pid is not None
    found = [pid, *children(pid)]
    for each in found:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in found:
            os.kill(each, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Processes that it has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


async def timed(asking: "asyncio.Future[httpx.Response]") -> tuple[int, float]:
    """(status, seconds) of an answer."""
    began = time.monotonic()
    answer = await asking
    return answer.status_code, time.monotonic() - began


async def ask(http: httpx.AsyncClient, calls: list[tuple[str, str, object]]) -> list[int]:
    """The statuses of calls that are made together; each has to come in time."""
    asked = [asyncio.ensure_future(http.request(m, path, json=body)) for m, path, body in calls]
    answers = await asyncio.gather(*map(timed, asked))
    for (method, path, _), (_, took_s) in zip(calls, answers, strict=True):
        assert took_s < ANSWER_S, (method, path, took_s)
    return [status for status, _ in answers]


async def test_redis_hangs(settings: Settings, own_redis: EmbeddedRedis) -> None:
    url = await own_redis.start()
    settings = replace(settings, redis_url=url, queue_redis_url=url)
    async with serve(settings) as served:
        _, token = await served.token("alice")
        async with served.http(token) as http:
            made = (await http.post("/api/agents", json=SLOW_AGENT)).json()
            path = f"/api/agents/{made['id']}"
            calls: list[tuple[str, str, object]] = [
                ("GET", path, None), ("GET", f"{path}/status", None), ("GET", "/ready", None),
                ("POST", f"{path}/stop", None), ("POST", "/api/agents", AGENT),
                ("POST", "/auth/login", {"email": "a@b.de", "password": "x"}),
            ]  # fmt: skip
            with frozen(own_redis.pid):
                assert await ask(http, calls) == [503] * len(calls)
                assert await ask(http, [("GET", "/health", None)]) == [200]

            async def serves_again() -> bool:
                return (await http.post(f"{path}/stop")).status_code == 200

            await wait_for(serves_again, seconds=20)


async def test_postgres_hangs(settings: Settings, own_postgres: EmbeddedPostgres) -> None:
    url = await own_postgres.start()
    await migrate(url)
    async with serve(replace(settings, database_url=url)) as served:
        _, token = await served.token("alice")
        async with served.http(token) as http:
            made = (await http.post("/api/agents", json=SLOW_AGENT)).json()
            path = f"/api/agents/{made['id']}"
            with frozen(own_postgres.pid):
                writes: list[tuple[str, str, object]] = [
                    ("POST", f"{path}/stop", None), ("GET", f"{path}/trades", None),
                    ("GET", "/ready", None),
                ]  # fmt: skip
                assert await ask(http, writes) == [503] * len(writes)
                reads: list[tuple[str, str, object]] = [
                    ("GET", path, None), ("GET", f"{path}/status", None),
                ]  # fmt: skip
                assert await ask(http, reads) == [200] * len(reads)
                async with asyncio.timeout(ANSWER_S), served.socket(token):
                    pass  # it lets clients in

            async def serves_again() -> bool:
                return (await http.get("/ready")).status_code == 200

            await wait_for(serves_again, seconds=40)
            async with served.socket(token) as stream:
                await receive_until(stream, "agent_status", agent_id=made["id"])


@pytest.mark.slow
async def test_the_hub_ends_in_time_while_redis_hangs(
    settings: Settings, own_redis: EmbeddedRedis
) -> None:
    url = await own_redis.start()
    settings = replace(settings, redis_url=url, queue_redis_url=url)
    async with serve(settings) as served:
        _, token = await served.token("alice")
        async with served.socket(token):
            stopped = frozen(own_redis.pid)
            stopped.__enter__()
        began = time.monotonic()
    took_s = time.monotonic() - began
    stopped.__exit__(None, None, None)
    assert took_s < ANSWER_S
