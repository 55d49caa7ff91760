"""Dependencies that go away and come back, the real ones: what still answers, and how it heals."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.embedded_redis import EmbeddedRedis
from adapters.settings import Settings
from tests.api.serving import AGENT, receive_until, serve
from tests.conftest import wait_for
from tests.integration.pool import open_test_pool

SLOW_AGENT = AGENT | {"interval_seconds": 3600}
OTHER_AGENT = "/api/agents/00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def own_redis(servers_dir: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis that this test may stop."""
    folder = servers_dir / f"own-redis-{uuid4().hex[:8]}"
    folder.mkdir()
    server = EmbeddedRedis(folder, durable=True)
    yield server
    await server.stop()


@pytest.fixture
async def own_postgres(servers_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL that this test may stop."""
    folder = servers_dir / f"own-postgres-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o711)
    server = EmbeddedPostgres(folder, durable=False)
    yield server
    await server.stop()


async def test_redis_goes_and_comes_back(settings: Settings, own_redis: EmbeddedRedis) -> None:
    url = await own_redis.start()
    settings = replace(settings, redis_url=url, queue_redis_url=url)
    async with serve(settings) as served:
        _, token = await served.token("alice")
        async with served.http(token) as http, served.socket(token) as stream:
            made = await http.post("/api/agents", json=SLOW_AGENT)
            path = f"/api/agents/{made.json()['id']}"
            await receive_until(stream, "agent_status", status="creating")
            await own_redis.stop()
            for method, target in [
                ("GET", path), ("GET", f"{path}/status"), ("POST", f"{path}/start"),
                ("POST", "/api/agents"), ("GET", "/api/market/price?symbol=BTC"),
            ]:  # fmt: skip
                body = SLOW_AGENT if target == "/api/agents" else None
                answer = await http.request(method, target, json=body)
                assert answer.status_code == 503, (method, target, answer.text)
                assert answer.headers["retry-after"] == "2"
                assert answer.json()["detail"] == "the state store is away, try again"
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["dependencies"]["redis"]) == (503, "away")
            assert (await http.get("/api/strategies")).status_code == 200
            assert await own_redis.start() == url

            async def served_again() -> bool:
                answer = await http.post("/api/agents", json=SLOW_AGENT)
                return answer.status_code == 201

            await wait_for(served_again, seconds=20)
            # The agent that Redis kept from being made was not made behind its owner's back.
            assert len((await http.get("/api/agents")).json()) == 2
            await receive_until(
                stream, "agent_status", check=lambda data: data["agent_id"] not in path
            )


async def test_postgres_goes_and_comes_back(
    settings: Settings, own_postgres: EmbeddedPostgres
) -> None:
    server_url = await own_postgres.start()
    settings = replace(settings, database_url=server_url)
    await migrate(server_url)
    async with open_test_pool(settings) as pool, serve(settings) as served:
        pool.start()
        _, token = await served.token("alice")
        async with served.http(token) as http, served.socket(token) as stream:
            made = await http.post("/api/agents", json=AGENT)
            path = f"/api/agents/{made.json()['id']}"
            await receive_until(stream, "agent_status", check=lambda data: data["ticks"] > 1)
            await own_postgres.stop()
            for method, target, body in [
                ("POST", "/api/agents", AGENT), ("POST", f"{path}/stop", None),
                ("DELETE", path, None), ("GET", f"{path}/trades", None),
                ("POST", "/auth/login", {"email": "a@b.de", "password": "x"}),
                ("GET", f"{OTHER_AGENT}/status", None),
            ]:  # fmt: skip
                answer = await http.request(method, target, json=body)
                assert answer.status_code == 503, (method, target, answer.text)
                assert answer.headers["retry-after"] == "2"
                assert answer.json()["detail"] == "the database is away, try again"
            before = (await http.get(f"{path}/status")).json()["ticks"]
            await receive_until(stream, "agent_status", check=lambda data: data["ticks"] > before)
            after = await http.get(f"{path}/status")
            assert (after.status_code, after.json()["status"]) == (200, "running")
            assert after.json()["ticks"] > before
            assert await own_postgres.start() == server_url

            async def stopped() -> bool:
                return (await http.post(f"{path}/stop")).status_code == 200

            await wait_for(stopped, seconds=20)
            await receive_until(stream, "log", check=lambda data: "stop" in str(data), seconds=20)
    connection = await asyncpg.connect(server_url)
    assert await connection.fetchval("SELECT wanted FROM agents") == "stopped"
    await connection.close()


async def test_a_hub_starts_without_either_and_says_so(settings: Settings) -> None:
    nowhere = replace(
        settings,
        database_url="postgres://nobody@127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1/0",
        queue_redis_url="redis://127.0.0.1:1/0",
    )
    async with serve(nowhere, measured=False) as served:
        token = served.hub.tokens.issue(*two_ids())
        async with served.http(token) as http:
            assert (await http.get("/health")).status_code == 200
            ready = await http.get("/ready")
            assert ready.json()["dependencies"] == {"database": "away", "redis": "away"}
            assert (await http.post("/api/agents", json=AGENT)).status_code == 503
            assert (await http.get("/api/agents")).status_code == 503
            login = {"email": "alice@example.com", "password": "some password"}
            refused = await http.post("/auth/login", json=login)
            assert refused.status_code == 503  # what can't be counted is not let through
            assert refused.json()["detail"] == "the state store is away, try again"
            assert (
                await http.post("/auth/refresh", json={"refresh_token": "x"})
            ).status_code == 503
            keyed = {"Authorization": "", "X-API-Key": "ak_" + "x" * 43}
            assert (await http.get("/api/strategies", headers=keyed)).status_code == 503


def two_ids() -> tuple[UUID, UUID]:
    """A user and a login that do not exist."""
    return uuid4(), uuid4()
