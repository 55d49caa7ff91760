"""The hub over a running pool, through a real socket: REST, the stream, and both together."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from adapters import redis_keys as keys
from adapters.db import history
from adapters.redis_client import command
from adapters.settings import Settings
from api import live
from tests.api.serving import ServedHub, receive, receive_until, serve
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool

TIGHT: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "strategy_name": "simple_momentum",
    "strategy_params": {"threshold": 0.01},
    "risk_params": {"stop_loss_pct": 0.004, "take_profit_pct": 0.004, "fee_bps": 1},
}
"""An agent that opens at once and closes within seconds."""
FACTS = ("trade", "log")


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        yield test_pool


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[ServedHub]:
    async with serve(settings) as hub:
        yield hub


def facts(messages: list[dict[str, Any]]) -> list[int]:
    """The seq of every trade and stored log."""
    return [each["seq"] for each in messages if each["type"] in FACTS and each["seq"] is not None]


async def test_the_life_of_an_agent(pool: TestPool, served: ServedHub) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        made = await http.post("/api/agents", json=TIGHT)
        assert made.status_code == 201, made.text
        path = f"/api/agents/{made.json()['id']}"
        seen = await receive_until(stream, "trade", event="closed", seconds=60)
        assert facts(seen) == list(range(1, len(facts(seen)) + 1))
        statuses = [each["data"] for each in seen if each["type"] == "agent_status"]
        ticks = [each["ticks"] for each in statuses if each["status"] == "running"]
        assert ticks == sorted(ticks)
        assert len(set(ticks)) > len(ticks) // 2
        assert any(each["position"] for each in statuses)
        trade = seen[-1]["data"]["trade"]
        listed = (await http.get(f"{path}/trades")).json()
        assert trade in listed["trades"]
        assert trade["close_reason"] in ("stop_loss", "take_profit", "signal")
        status = (await http.get(f"{path}/status")).json()
        assert status["price_source"] == "simulated"
        assert status["stale"] is False
        assert status["ticks"] >= max(ticks)
        entries = (await http.get(f"{path}/logs")).json()["entries"]
        assert {"init", "start", "action", "tick"} <= {entry["level"] for entry in entries}
        assert [entry["ts"] for entry in entries] == sorted(entry["ts"] for entry in entries)
        stopped = await http.post(f"{path}/stop")
        assert stopped.json()["status"] == "stopped"
        await receive_until(stream, "agent_status", status="stopped", position=None)
        assert (await http.get(f"{path}/status")).json()["position"] is None
        assert (await http.post(f"{path}/start")).status_code == 200
        await receive_until(stream, "agent_status", status="running")
        price = (await http.get("/api/market/price?symbol=btcusdt")).json()
        assert (price["symbol"], price["source"], price["stale"]) == (
            "BTC/USDT",
            "simulated",
            False,
        )
        assert (await http.delete(path)).status_code == 204
        assert (await http.get(path)).status_code == 404
        await receive_until(
            stream, "log", check=lambda data: data["entries"][0]["message"] == "agent deleted"
        )


async def test_tick_lines_come_in_tens_and_agree_with_the_log(
    pool: TestPool, served: ServedHub
) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        made = (await http.post("/api/agents", json=TIGHT)).json()
        while True:
            message = (await receive_until(stream, "log", seconds=30))[-1]
            if message["seq"] is None:
                break
        lines = message["data"]["entries"]
        assert [line["level"] for line in lines] == ["tick"] * 10
        path = f"/api/agents/{made['id']}/logs?level=tick&limit=300"
        logged = (await http.get(path)).json()["entries"]
        known = {line["ts"]: line["message"] for line in logged}
        # The position of a slot is known from the trade, whose record is a moment behind.
        assert [known[line["ts"]].partition("), ")[0] for line in lines] == [
            line["message"].partition("), ")[0] for line in lines
        ]
        older = f"{path}&before={lines[5]['ts']}"
        assert (await http.get(older)).json()["entries"][-1]["ts"] < lines[5]["ts"]


async def test_since_replays_and_goes_on_without_gap_or_double(
    pool: TestPool, served: ServedHub
) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        await http.post("/api/agents", json=TIGHT)
        first = facts(await receive_until(stream, "trade", event="closed", seconds=60))
        async with served.socket(token, "&since=0") as all_again:
            again = facts(await receive_until(all_again, "trade", event="closed", seconds=60))
            assert again == first
            half = again[len(again) // 2]
            async with served.socket(token, f"&since={half}") as rest:
                later = await receive_until(rest, "trade", event="opened", seconds=60)
                more = await receive_until(rest, "trade", event="closed", seconds=60)
                seqs = facts(later + more)
                assert seqs == list(range(half + 1, half + 1 + len(seqs)))
                assert seqs[-1] >= first[-1]


async def test_nothing_is_missed_from_the_moment_of_connecting(
    served: ServedHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub reads a second later where the record of this user begins."""
    monkeypatch.setattr(live, "COALESCE_S", 1.0)
    _, token = await served.token("alice")
    secret = {"X-Internal-Secret": settings.internal_secret}
    async with served.http(token) as http:
        agent = (await http.post("/api/agents", json=TIGHT | {"auto_start": False})).json()["id"]
        for number, (query, wanted) in enumerate((("", [1]), ("&since=0", [1, 2]), ("", [3]))):
            async with served.socket(token, query) as stream:
                entry = {"ts": number, "level": "warn", "message": "said at once"}
                body = {"agent_id": agent, "entries": [entry]}
                said = await http.post("/internal/logs", json=body, headers=secret)
                assert said.json() == {"ok": True}
                seen: list[dict[str, Any]] = []
                while not seen or seen[-1].get("seq") != wanted[-1]:
                    seen.append(await receive(stream))
                assert facts(seen) == wanted
        await wait_for(lambda: not served.hub.live.topics)


async def test_a_stream_has_its_owners_agents_only(pool: TestPool, served: ServedHub) -> None:
    _, alices = await served.token("alice")
    _, bobs = await served.token("bob")
    async with served.http(alices) as alice, served.http(bobs) as bob:
        one = (await alice.post("/api/agents", json=TIGHT)).json()["id"]
        two = (await alice.post("/api/agents", json=TIGHT | {"symbol": "ETH"})).json()["id"]
        mine = (await bob.post("/api/agents", json=TIGHT)).json()["id"]
        async with (
            served.socket(alices) as all_of_hers,
            served.socket(alices, f"&agents={two}") as one_of_hers,
            served.socket(bobs, f"&agents={one},{two},{mine}") as all_of_his,
        ):
            seen = {each["agent_id"] for each in await collect(all_of_hers, 12)}
            assert seen == {one, two}
            assert {each["agent_id"] for each in await collect(one_of_hers, 5)} == {two}
            assert {each["agent_id"] for each in await collect(all_of_his, 5)} == {mine}


async def collect(stream: Any, count: int) -> list[dict[str, Any]]:
    """The next messages."""
    return [await receive(stream) for _ in range(count)]


async def test_every_message_arrives_though_redis_drops_the_subscription(
    pool: TestPool, served: ServedHub
) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        for symbol in ("BTC", "ETH", "SOL"):
            await http.post("/api/agents", json=TIGHT | {"symbol": symbol})
        seen: list[int] = []
        for _ in range(3):
            await command(pool.pool.state_redis, "CLIENT", "KILL", "TYPE", "pubsub")
            seen += facts(await receive_until(stream, "trade", seconds=60))
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= 9


async def test_a_bad_token_is_accepted_and_closed(served: ServedHub) -> None:
    for token in ("", "x", "a.b.c", "%FF%00", "ak_" + "x" * 43, "x" * 5_000, "&token=x"):
        async with served.socket(token, "&since=no") as stream:
            with pytest.raises(ConnectionClosed):
                await receive(stream)
            assert stream.close_code == 4401, token


async def test_bad_wishes_are_closed(served: ServedHub) -> None:
    _, token = await served.token("alice")
    for query, reason in [
        ("&since=x", "since: expected a whole number"),
        ("&agents=x", "agents: expected ids with commas between them"),
        ("&agent=x", "agent: unknown field"),
    ]:
        async with served.socket(token, query) as stream:
            with pytest.raises(ConnectionClosed):
                await receive(stream)
            assert (stream.close_code, stream.close_reason) == (4400, reason)


async def test_an_account_has_so_many_sockets_and_its_own(served: ServedHub) -> None:
    served.hub.settings = replace(served.hub.settings, sockets_per_user=2)
    user_id, token = await served.token("alice")
    _, others = await served.token("bob")
    async with (
        served.socket(token),
        served.socket(token),
        served.socket(token) as third,
        served.socket(others) as theirs,
    ):
        with pytest.raises(ConnectionClosed):
            await receive(third)
        reason = "the account has its 2 sockets open here"
        assert (third.close_code, third.close_reason) == (4429, reason)
        assert theirs.close_code is None
    await wait_for(lambda: served.hub.live.watching(user_id) == 0)
    async with served.socket(token):
        await wait_for(lambda: served.hub.live.watching(user_id) == 1)
    served.hub.requests.per_minute = 1
    async with served.socket(token), served.socket(token) as hasty:
        with pytest.raises(ConnectionClosed):
            await receive(hasty)
        assert hasty.close_code == 4429
        assert re.fullmatch(r"too many requests, try again in 6[01] s", hasty.close_reason or "")


async def test_one_that_reads_nothing_is_closed_and_costs_bounded_memory(
    served: ServedHub,
) -> None:
    user_id, token = await served.token("alice")
    channel = keys.user_channel(str(user_id))
    redis = served.hub.state_redis
    async with served.socket(token, max_queue=1) as slow, served.socket(token) as quick:
        topics = served.hub.live.topics
        await wait_for(lambda: user_id in topics and topics[user_id].order.last == 0)
        topic = topics[user_id]
        reading = asyncio.create_task(read_all(quick))
        watchers = set(topic.watchers)
        for seq in range(1, 10_000):
            await command(redis, "PUBLISH", channel, big_fact(seq, user_id))
            assert all(len(each.outbox) <= 5_000 for each in watchers)
            if len(topic.watchers) == 1:
                break
        assert len(topic.watchers) == 1
        assert not reading.done()
        with pytest.raises(ConnectionClosed):
            while True:
                await slow.recv()
        assert slow.close_code == 4408
        reading.cancel()


async def read_all(stream: Any) -> None:
    """Reads until it is canceled."""
    while True:
        await stream.recv()


def big_fact(seq: int, agent_id: object) -> bytes:
    """A log message of four kilobytes, as the ledger publishes it."""
    entry = {"ts": "2026-01-01T00:00:00.000Z", "level": "warn", "message": "x" * 4_000}
    return msgspec.json.encode(
        {
            "type": "log",
            "agent_id": str(agent_id),
            "seq": seq,
            "ts": entry["ts"],
            "data": {"entries": [entry]},
        }
    )


async def test_what_is_no_longer_kept_is_said(pool: TestPool, served: ServedHub) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        await http.post("/api/agents", json=TIGHT)
        seen = facts(await receive_until(stream, "trade", event="opened", seconds=30))
        await history.prune_messages(served.hub.database, datetime.now(UTC) + timedelta(days=1))
        async with served.socket(token, "&since=1") as late:
            first = await receive_until(late, "gap")
            assert (first[-1]["from"], first[-1]["to"] >= seen[-1]) == (2, True)
            after = facts(await receive_until(late, "trade", event="closed", seconds=60))
            assert after == list(range(first[-1]["to"] + 1, first[-1]["to"] + 1 + len(after)))


async def test_it_does_not_matter_which_hub_one_talks_to(
    pool: TestPool, served: ServedHub, settings: Settings
) -> None:
    _, token = await served.token("alice")
    async with (
        serve(settings) as other,
        served.http(token) as http,
        other.http(token) as other_http,
        other.socket(token) as stream,
    ):
        made = (await http.post("/api/agents", json=TIGHT)).json()
        seen = await receive_until(stream, "agent_status", agent_id=made["id"], status="running")
        path = f"/api/agents/{made['id']}"
        assert (await other_http.get(f"{path}/status")).json()["status"] == "running"
        assert (await other_http.post(f"{path}/stop")).json()["status"] == "stopped"
        seen += await receive_until(stream, "agent_status", status="stopped", position=None)
        assert (await http.delete(path)).status_code == 204
        seen += await receive_until(
            stream, "log", check=lambda data: data["entries"][0]["message"] == "agent deleted"
        )
        assert facts(seen) == list(range(1, len(facts(seen)) + 1))
        await wait_for(lambda: not any(each.agents for each in other.hub.live.topics.values()))
