"""What a Redis does that Artic rests on: a real server and the one in memory say the same.

Commands are drawn at random and sent to both; what only one kind of test can show has a test of its
own, run against each.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.redis_client import Redis, RedisError, command, open_redis
from tests.conftest import wait_for
from tests.servers.crashing_redis import (
    CrashingMemoryRedis,
    CrashingRealRedis,
    CrashingRedis,
)
from tests.servers.memory_redis import MemoryRedis
from tests.servers.redis_wire import open_memory_redis

KEYS = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["x", "y", "10", "-3", "\0\1", ""])
NUMBERS = st.integers(-4, 5)
IDS = st.builds("{}-{}".format, st.integers(0, 4), st.integers(0, 3))
BOUNDS = st.sampled_from(["-inf", "+inf", "1", "(1", "2.5", "(3"])
SCORES = st.sampled_from([0, 1, 2, 2.5, 3, -1, 1e15, "x"])


def one(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One command with drawn arguments."""
    return st.tuples(st.just(name), *arguments)


COMMANDS = st.one_of(
    one("GET", KEYS),
    one("SET", KEYS, WORDS),
    st.tuples(st.just("SET"), KEYS, WORDS, st.just("NX")),
    st.tuples(st.just("SET"), KEYS, WORDS, st.just("NX"), st.just("PX"), st.just(100_000)),
    one("GETRANGE", KEYS, NUMBERS, NUMBERS),
    one("SETRANGE", KEYS, NUMBERS, WORDS),
    one("INCRBY", KEYS, NUMBERS),
    one("DEL", KEYS, KEYS),
    one("EXISTS", KEYS, KEYS),
    one("HSET", KEYS, WORDS, WORDS, WORDS, WORDS),
    one("HGET", KEYS, WORDS),
    one("HMGET", KEYS, WORDS, WORDS),
    one("HGETALL", KEYS),
    one("HDEL", KEYS, WORDS, WORDS),
    one("HINCRBY", KEYS, WORDS, NUMBERS),
    one("RPUSH", KEYS, WORDS, WORDS),
    one("LPUSH", KEYS, WORDS, WORDS),
    one("LRANGE", KEYS, NUMBERS, NUMBERS),
    one("LINDEX", KEYS, NUMBERS),
    one("LLEN", KEYS),
    one("LTRIM", KEYS, NUMBERS, NUMBERS),
    one("SADD", KEYS, WORDS, WORDS),
    one("SREM", KEYS, WORDS),
    one("SMEMBERS", KEYS),
    one("SCARD", KEYS),
    one("SPOP", KEYS, st.just(9)),
    one("ZADD", KEYS, SCORES, WORDS, SCORES, WORDS),
    one("ZREM", KEYS, WORDS),
    one("ZCARD", KEYS),
    one("ZSCORE", KEYS, WORDS),
    one("ZINCRBY", KEYS, SCORES, WORDS),
    one("ZRANGE", KEYS, NUMBERS, NUMBERS),
    one("ZRANGEBYSCORE", KEYS, BOUNDS, BOUNDS, st.just("WITHSCORES")),
    one("ZRANGEBYSCORE", KEYS, BOUNDS, BOUNDS, st.just("LIMIT"), st.just(0), NUMBERS),
    one("ZREMRANGEBYSCORE", KEYS, BOUNDS, BOUNDS),
    one("XADD", KEYS, IDS, WORDS, WORDS),
    one("XLEN", KEYS),
    one("XRANGE", KEYS, IDS, IDS),
    one("XRANGE", KEYS, st.just("-"), st.just("+"), st.just("COUNT"), st.integers(1, 3)),
    one("XTRIM", KEYS, st.just("MINID"), IDS),
    one("XTRIM", KEYS, st.just("MAXLEN"), st.integers(0, 3)),
    one("TTL", KEYS),
    one("NONSENSE", KEYS),
    one("GET"),
)


async def answers(redis: Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    pipe = redis.pipeline(transaction=False)
    pipe.response_callbacks = {}
    for words in commands:
        pipe.execute_command(*words)
    replies = await pipe.execute(raise_on_error=False)
    return [comparable(words, reply) for words, reply in zip(commands, replies, strict=True)]


def comparable(words: tuple[Any, ...], reply: Any) -> Any:
    if isinstance(reply, Exception):
        text = str(reply)
        return type(reply).__name__, text.rpartition("caused error: ")[2].split(",")[0]
    if words[0] in {"SMEMBERS", "SPOP"}:
        return sorted(reply)
    if words[0] == "HGETALL":
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    return reply


@given(st.lists(COMMANDS, min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_both_answer_every_command_alike(
    redis_server: str, commands: list[tuple[Any, ...]]
) -> None:
    async def compare() -> None:
        async with open_redis(redis_server) as real:
            await real.flushall()
            assert await answers(open_memory_redis(), commands) == await answers(real, commands)

    asyncio.run(compare())


async def script(redis: Redis, text: str, *arguments: Any) -> Any:
    """Runs a script on keys k1 and k2."""
    return await redis.register_script(text)(keys=["k1", "k2"], args=arguments)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("return {1, 2.9, 'x', true, false, {'y', 3}}", [1, 2, b"x", 1, None, [b"y", 3]]),
        ("return {1, nil, 3}", [1]),
        ("return nil", None),
        ("return redis.call('SET', KEYS[1], 'v')", b"OK"),
        ("return redis.call('SET', KEYS[1], 'v').ok", b"OK"),
        ("return redis.call('GET', KEYS[1]) == false", 1),
        ("redis.call('SET', KEYS[1], 1700000000123) return redis.call('GET', KEYS[1])",
         b"1700000000123"),
        ("redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])",
         b"0.10000000000000001"),
        ("return '(' .. 1700000000123", b"(1700000000123"),
        ("return redis.call('HMGET', KEYS[1], 'a', 'b')", [None, None]),
        ("return struct.pack('>I8', 258) .. struct.pack('<i8', -2)",
         b"\0\0\0\0\0\0\1\2\xfe" + b"\xff" * 7),
        ("return {struct.unpack('>I4', ARGV[1])}", [0x31323334, 5]),
        ("return struct.unpack('<I4', ARGV[1], 5)", 0x38373635),
        ("return {#KEYS, #ARGV, KEYS[2], ARGV[1]}", [2, 1, b"k2", b"12345678"]),
        ("return {err = 'MINE of ours'}", "of ours"),
        ("return redis.error_reply('MINE of ours')", "of ours"),
        ("return {err = redis.pcall('HSET', KEYS[1]).err}", "rong number of arg"),
        ("made = 1", "global variable|readonly table"),
        ("return missing", "global variable"),
        ("return redis.call('GET', {})", "must be strings or integers"),
        ("return redis.call('NONSENSE')", "nknown (Redis )?command"),
        ("return io", "global variable"),
    ],
)  # fmt: skip
async def test_scripts(either_redis: Redis, text: str, answer: Any) -> None:
    if isinstance(answer, str):
        with pytest.raises(RedisError, match=answer):
            await script(either_redis, text, "12345678")
    else:
        assert await script(either_redis, text, "12345678") == answer


async def test_half_a_script_is_not_undone(either_redis: Redis) -> None:
    text = "redis.call('SET', KEYS[1], 'half') redis.call('LPUSH', KEYS[1], 'x') return 'never'"
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await script(either_redis, text)
    assert await command(either_redis, "GET", "k1") == b"half"


async def test_a_failed_call_can_be_caught(either_redis: Redis) -> None:
    text = "redis.call('SET', KEYS[1], 'v') return {redis.pcall('LLEN', KEYS[1]).err, 'on'}"
    said, on = await script(either_redis, text)
    assert (said[:9], on) == (b"WRONGTYPE", b"on")


async def test_a_script_sees_time_and_run_of_its_server(either_redis: Redis) -> None:
    text = "return {redis.call('TIME'), redis.call('INFO', 'server')}"
    told, shown = await script(either_redis, text)
    now = await either_redis.time()
    assert abs(int(told[0]) + int(told[1]) / 1e6 - (now[0] + now[1] / 1e6)) < 5
    run_id = (await either_redis.info("server"))["run_id"]
    assert len(run_id) == 40
    assert f"run_id:{run_id}\r\n".encode() in shown


async def test_a_script_that_is_not_there_is_loaded_again(either_redis: Redis) -> None:
    known = either_redis.register_script("return 'here'")
    assert await known() == b"here"
    await command(either_redis, "SCRIPT", "FLUSH")
    assert await known() == b"here"
    pipe = either_redis.pipeline(transaction=False)
    await command(either_redis, "SCRIPT", "FLUSH")
    await known(client=pipe)
    assert await pipe.execute() == [b"here"]


async def test_what_has_run_out_is_gone(either_redis: Redis) -> None:
    await command(either_redis, "SET", "lease", "mine", "PX", 20)
    assert await command(either_redis, "SET", "lease", "yours", "NX") is None
    assert 0 <= await command(either_redis, "PTTL", "lease") <= 20

    async def gone() -> bool:
        return not await command(either_redis, "EXISTS", "lease")

    await wait_for(gone)
    assert await command(either_redis, "PTTL", "lease") == -2
    assert await command(either_redis, "SET", "lease", "yours", "NX") is True
    assert await command(either_redis, "PTTL", "lease") == -1
    await command(either_redis, "PEXPIRE", "lease", 60_000)
    assert 59_000 < await command(either_redis, "PTTL", "lease") <= 60_000
    await command(either_redis, "SET", "lease", "plain")
    assert await command(either_redis, "PTTL", "lease") == -1


async def test_a_transaction_runs_as_one_and_keeps_what_did_not_fail(either_redis: Redis) -> None:
    async with either_redis.pipeline(transaction=True) as pipe:
        pipe.set("k1", "v")
        pipe.lpush("k1", "x")
        pipe.get("k1")
        replies = await pipe.execute(raise_on_error=False)
    assert replies[0] is True
    assert isinstance(replies[1], RedisError)
    assert replies[2] == b"v"


async def test_who_listens_hears_in_order(either_redis: Redis) -> None:
    async with either_redis.pubsub() as ear:
        await ear.subscribe("one")
        await ear.psubscribe("t*")
        await command(either_redis, "PUBLISH", "one", "first")
        await script(either_redis, "return redis.call('PUBLISH', ARGV[1], ARGV[2])", "two", "2nd")
        await command(either_redis, "PUBLISH", "other", "never heard")
        await ear.unsubscribe("one")
        heard: list[tuple[str, bytes, bytes | int]] = []
        while len(heard) < 5:
            message = await ear.get_message(timeout=5)
            assert message is not None, heard
            heard.append((message["type"], message["channel"], message["data"]))
    assert heard == [
        ("subscribe", b"one", 1),
        ("psubscribe", b"t*", 2),
        ("message", b"one", b"first"),
        ("pmessage", b"two", b"2nd"),
        ("unsubscribe", b"one", 1),
    ]
    assert await command(either_redis, "PUBLISH", "one", "nobody") == 0


async def test_a_ping_comes_after_what_was_said_before(either_redis: Redis) -> None:
    async with either_redis.pubsub() as ear:
        await ear.subscribe("one")
        await command(either_redis, "PUBLISH", "one", "said")
        await ear.ping("mark")
        heard: list[str] = []
        while not heard or heard[-1] != "pong":
            message = await ear.get_message(timeout=5)
            assert message is not None, heard
            heard.append(message["type"])
    assert heard == ["subscribe", "message", "pong"]


async def test_an_empty_ear_waits_no_longer_than_it_is_told(either_redis: Redis) -> None:
    async with either_redis.pubsub() as ear:
        await ear.subscribe("one")
        assert (await ear.get_message(timeout=5))["type"] == "subscribe"
        started = asyncio.get_running_loop().time()
        assert await ear.get_message(timeout=0.02) is None
        assert asyncio.get_running_loop().time() - started < 2


@pytest.fixture(params=["real", "memory"])
async def crashing(
    request: pytest.FixtureRequest, servers_dir: Path
) -> AsyncIterator[CrashingRedis]:
    if request.param == "memory":
        yield CrashingMemoryRedis(MemoryRedis(time.time, "f" * 40))
        return
    server = CrashingRealRedis(Path(tempfile.mkdtemp(dir=servers_dir)))
    await server.start()
    yield server
    await server.stop()


async def test_a_crash_loses_what_was_not_kept(crashing: CrashingRedis) -> None:
    async with crashing.open() as redis:
        known = redis.register_script("return redis.call('GET', 'a')")
        await command(redis, "SET", "a", "kept")
        await command(redis, "SET", "lease", "kept", "PX", 60_000)
        before = (await redis.info("server"))["run_id"]
        await crashing.keep()
        await command(redis, "SET", "a", "lost")
        assert await known() == b"lost"
        await crashing.crash()
        await crashing.start()
        assert await known() == b"kept"
        assert 50_000 < await command(redis, "PTTL", "lease") <= 60_000
        assert (await redis.info("server"))["run_id"] != before


async def test_who_listened_hears_again_after_a_crash(crashing: CrashingRedis) -> None:
    async with crashing.open() as redis, redis.pubsub() as ear:
        await ear.subscribe("one")
        assert (await ear.get_message(timeout=5))["type"] == "subscribe"
        await crashing.crash()
        await crashing.start()
        assert (await ear.get_message(timeout=5))["type"] == "subscribe"
        await command(redis, "PUBLISH", "one", "again")
        assert (await ear.get_message(timeout=5))["data"] == b"again"


async def test_a_crash_without_anything_kept_loses_all(crashing: CrashingRedis) -> None:
    async with crashing.open() as redis:
        await command(redis, "SET", "a", "lost")
        await crashing.crash()
        await crashing.start()
        assert await command(redis, "KEYS", "*") == []
