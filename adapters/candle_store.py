"""Fetched candles in Redis, and who waits for which.

One entry for each symbol and timeframe: what was fetched last, whoever has fetched it. What is
stored counts for windows from a future slot on, which the script stamps (live_frames.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from adapters import redis_keys as keys
from adapters.candles import FetchedCandles, WindowName, decode_candles, encode_candles
from adapters.redis_client import Redis, command, script

KEPT_S: Final = 2 * 86_400
ASK_TTL_S: Final = 10.0
"""Who asked longer ago does not wait any more."""
ASKED_MAX: Final = 1_000
FLIGHT_MS: Final = 10_000
"""A request that is not answered by then may be made again."""
QUEUE_MAX: Final = 500
TROUBLE_KEPT_S: Final = 600
"""Longer than the longest pause before the exchange's process is started again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Candles that somebody waits for: since when (Unix seconds), and how many have asked."""

    name: WindowName
    since: float
    times: int


class ExchangeAnswer(msgspec.Struct, frozen=True):
    """What came of a request to the exchange's process; problem is "" where candles are stored."""

    symbol: str
    timeframe: str
    problem: str = ""
    is_final: bool = False
    """Whether it is of no use to ask again soon."""


class ExchangeTrouble(msgspec.Struct, frozen=True):
    """Why the process of an exchange cannot run, in words for an operator."""

    exchange: str
    why: str


def member(name: WindowName) -> str:
    """A window in lists of Redis."""
    return f"{name[0]}:{name[1]}"


def window_name(text: bytes) -> WindowName:
    """The inverse of `member`."""
    symbol, _, timeframe = text.decode().rpartition(":")
    return symbol, timeframe


class CandleStore:
    """The candles of all processes, as one of them sees them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._store = script(redis, "candles")

    async def get(self, names: Sequence[WindowName]) -> dict[WindowName, FetchedCandles]:
        """Those that were fetched at all."""
        if not names:
            return {}
        entries = [keys.market_candles(*name) for name in names]
        found = await command(self._redis, "MGET", *entries)
        return {
            name: decode_candles(data)
            for name, data in zip(names, found, strict=True)
            if data is not None
        }

    async def put(self, name: WindowName, candles: FetchedCandles) -> int:
        """Stores what was fetched; the slot from which on windows have it."""
        before = (await self.get([name])).get(name)
        slot: int = await self._store(
            keys=[
                keys.market_candles(*name), keys.market_candle_stamps(), keys.candles_asked(),
                keys.candles_asked_by(), keys.candles_in_flight(*name), keys.candles_fetched(),
            ],
            args=[
                encode_candles(candles.following(before)), KEPT_S, member(name),
                candles.fetched_at,
            ],
        )  # fmt: skip
        return slot

    async def ask(self, name: WindowName, now: float) -> None:
        """Says that somebody waits for these candles."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.candles_asked(), {member(name): now}, nx=True)
            pipe.hincrby(keys.candles_asked_by(), member(name), 1)
            pipe.zremrangebyrank(keys.candles_asked(), ASKED_MAX, -1)
            await pipe.execute()

    async def asked(self, now: float) -> list[Asked]:
        """Who waits now, the longest first; those who waited too long are forgotten."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrangebyscore(keys.candles_asked(), "-inf", now - ASK_TTL_S)
            pipe.zremrangebyscore(keys.candles_asked(), "-inf", now - ASK_TTL_S)
            pipe.zrange(keys.candles_asked(), 0, -1, withscores=True)
            pipe.hgetall(keys.candles_asked_by())
            gone, _, waiting, times = await pipe.execute()
        if gone:
            await command(self._redis, "HDEL", keys.candles_asked_by(), *gone)
        return [Asked(window_name(text), since, int(times.get(text, 1))) for text, since in waiting]

    async def fetched_at(self) -> dict[WindowName, float]:
        """When candles were fetched last, of all that ever were."""
        found: dict[bytes, bytes] = await command(self._redis, "HGETALL", keys.candles_fetched())
        return {window_name(text): float(when) for text, when in found.items()}

    async def drop_asked(self, name: WindowName) -> None:
        """Nobody has to wait for these: they are there."""
        await command(self._redis, "ZREM", keys.candles_asked(), member(name))
        await command(self._redis, "HDEL", keys.candles_asked_by(), member(name))

    async def take_off(self, name: WindowName, who: str, known: float) -> bool:
        """The right to fetch these candles, for some seconds; False where another has it, or where
        they were fetched later than `known` (Unix seconds): since somebody looked and decided.
        """
        key = keys.candles_in_flight(*name)
        if await command(self._redis, "SET", key, who, "NX", "PX", FLIGHT_MS) is None:
            return False
        fetched = await command(self._redis, "HGET", keys.candles_fetched(), member(name))
        if fetched is None or float(fetched) <= known:
            return True
        await self.land(name)
        return False

    async def land(self, name: WindowName) -> None:
        """Nothing came of it: somebody else may try."""
        await command(self._redis, "DEL", keys.candles_in_flight(*name))

    async def request(self, names: Iterable[WindowName]) -> None:
        """Hands candles to the exchange's process to be fetched, in this order."""
        members = [member(name) for name in names]
        if members:
            await command(self._redis, "RPUSH", keys.exchange_requests(), *members)
            await command(self._redis, "LTRIM", keys.exchange_requests(), 0, QUEUE_MAX - 1)

    async def next_request(self) -> WindowName | None:
        """The next candles that the exchange's process is to fetch."""
        text: bytes | None = await command(self._redis, "LPOP", keys.exchange_requests())
        return None if text is None else window_name(text)

    async def requests_waiting(self) -> int:
        """How many there are."""
        return int(await command(self._redis, "LLEN", keys.exchange_requests()))

    async def answer(self, answer: ExchangeAnswer) -> None:
        """Says what came of a request."""
        told = msgspec.json.encode(answer)
        await command(self._redis, "RPUSH", keys.exchange_answers(), told)
        await command(self._redis, "LTRIM", keys.exchange_answers(), -QUEUE_MAX, -1)

    async def answers(self) -> list[ExchangeAnswer]:
        """What was said since the last call."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrange(keys.exchange_answers(), 0, -1)
            pipe.delete(keys.exchange_answers())
            said, _ = await pipe.execute()
        return [msgspec.json.decode(each, type=ExchangeAnswer) for each in said]

    async def tell_exchange_trouble(
        self, exchange: str, why: str, *, unless_known: bool = False
    ) -> None:
        """Says why the exchange's process cannot run, for some minutes."""
        told = msgspec.json.encode(ExchangeTrouble(exchange, why))
        only_new = ["NX"] if unless_known else []
        key = keys.exchange_trouble()
        await command(self._redis, "SET", key, told, "EX", TROUBLE_KEPT_S, *only_new)

    async def exchange_trouble(self, exchange: str) -> str | None:
        """Why the process of this exchange cannot run; None where it can, as far as is known."""
        told: bytes | None = await command(self._redis, "GET", keys.exchange_trouble())
        if told is None:
            return None
        trouble = msgspec.json.decode(told, type=ExchangeTrouble)
        return trouble.why if trouble.exchange == exchange else None

    async def exchange_runs(self) -> None:
        """The exchange's process is well: what was told of it before is over."""
        await command(self._redis, "DEL", keys.exchange_trouble())

    async def clear_requests(self) -> None:
        """Forgets what another holder of the lease has asked the exchange for."""
        await command(self._redis, "DEL", keys.exchange_requests(), keys.exchange_answers())

    async def tell(self, report: Mapping[str, Any]) -> None:
        """Writes how the sources are doing, for a few seconds."""
        told = msgspec.json.encode(report)
        await command(self._redis, "SET", keys.candle_report(), told, "EX", 15)

    async def told(self) -> dict[str, Any] | None:
        """What tell() wrote last."""
        told: bytes | None = await command(self._redis, "GET", keys.candle_report())
        return None if told is None else msgspec.json.decode(told, type=dict[str, Any])
