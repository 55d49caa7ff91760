"""The live table in Redis: the newest price of each symbol, and the path that prices took lately.

One process at a time writes it, the holder of the feeder's lease, and the script that writes asks
for the lease again. Any process reads it: frames are made out of it. Times are Redis times; a
publish time is the source's own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from adapters import redis_keys as keys
from adapters.candle_store import CandleStore, member, window_name
from adapters.candles import WindowName
from adapters.pyth_feeds import FeedIds
from adapters.pyth_requests import BANNED_S, AskedLately
from adapters.redis_client import Redis, command, script
from engine.frames import TIMEFRAMES, Floats

PATH_ENTRIES: Final = 1_200
"""Writes that the path keeps: two minutes at ten a second."""
SYMBOLS_MAX: Final = 100
"""Symbols followed at a time: all ids have to fit into one URL, and frames must stay small."""
ASKED_S: Final = 120
"""How long a symbol that somebody asked for is followed although no agent trades it."""
ASKED_MAX: Final = 40
REPORT_TTL_S: Final = 15
FEEDS_KEPT_S: Final = 86_400
REQUESTS_KEPT_S: Final = int(BANNED_S) + 10

NOTHING_YET: Final = "0-0"
"""The cursor of a frame from before the first write."""
_RECORD: Final = np.dtype([("price", "<f8"), ("publish_time", "<f8"), ("conf", "<f8")])


class SeenPrice(msgspec.Struct, frozen=True):
    """What was seen of one symbol since the write before.

    volume is in base units, NaN where the source gives none; conf is in the unit of the price, NaN
    where there is none. publish_time, Unix seconds, belongs to `close`.
    """

    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    publish_time: float
    conf: float


class LivePrice(msgspec.Struct, frozen=True):
    """The newest price of a symbol; conf is NaN where its source gives none."""

    price: float
    publish_time: float
    conf: float


class PathEntry(msgspec.Struct, frozen=True):
    """One write: time of Redis in Unix seconds, symbols, and bars f8[N, 5] (open, high, low,
    close, volume).
    """

    time: float
    symbols: tuple[str, ...]
    bars: Floats


@dataclass(frozen=True, slots=True)
class TableSight:
    """What a frame is made of, read at one moment.

    symbols are those to be followed now, in order; cursor names the last write of the path that
    was read; due are the candle windows (symbol, timeframe) that were corrected for this slot.
    """

    symbols: tuple[str, ...]
    prices: Mapping[str, LivePrice]
    path: Sequence[PathEntry]
    cursor: str
    due: Mapping[WindowName, int]


class KnownSymbols(msgspec.Struct, frozen=True):
    """The symbols of one live source."""

    source: str
    symbols: tuple[str, ...]


class _Group(msgspec.Struct, array_like=True):
    symbols: tuple[str, ...]
    bars: bytes


class LiveTable:
    """The table as one process sees it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write = script(redis, "live")
        self._lease = script(redis, "feeder")
        self._unstamp = script(redis, "unstamp")
        self.candles = CandleStore(redis)

    async def hold(self, name: str, lease_ms: int) -> bool:
        """Takes or renews the feeder's lease; whether it is ours. 0 ms gives it back."""
        return bool(await self._lease(keys=[keys.market_feeder()], args=[name, lease_ms]))

    async def holder(self) -> str:
        """Who feeds the table now, '' for nobody."""
        name: bytes | None = await command(self._redis, "GET", keys.market_feeder())
        return "" if name is None else name.decode()

    async def write(self, name: str, seen: Sequence[SeenPrice]) -> bool:
        """Adds what was seen; False, and nothing written, when the lease is somebody else's."""
        bars = np.array([(s.open, s.high, s.low, s.close, s.volume) for s in seen])
        group = _Group(tuple(s.symbol for s in seen), bars.astype("<f8").tobytes())
        newest = np.array([(s.close, s.publish_time, s.conf) for s in seen], dtype=_RECORD)
        args: list[Any] = [name, PATH_ENTRIES, msgspec.msgpack.encode(group)]
        for each, record in zip(seen, newest, strict=True):
            args += [each.symbol, record.tobytes()]
        table = [keys.market_feeder(), keys.market_live(), keys.market_path()]
        return bool(await self._write(keys=table, args=args))

    async def sight(self, cursor: str, slot: int, due_max: int) -> TableSight:
        """All that the frame of a slot needs, after the write that `cursor` names.

        Without a cursor the path is left out: there is no frame to be carried on from.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.smembers(keys.market_in_use())
            pipe.zrangebyscore(keys.market_asked(), slot, "+inf")
            pipe.hgetall(keys.market_live())
            pipe.xrange(keys.market_path(), f"({cursor}" if cursor else "+", "+")
            pipe.xrevrange(keys.market_path(), "+", "-", 1)
            pipe.zrangebyscore(
                keys.market_candle_stamps(), "-inf", slot, start=0, num=due_max, withscores=True
            )
            answers: list[Any] = await pipe.execute()
        in_use, asked, live, path, last, due = answers
        return TableSight(
            symbols=_in_order(in_use, asked),
            prices={symbol.decode(): _live_price(record) for symbol, record in live.items()},
            path=[_entry(*each) for each in path],
            cursor=last[0][0].decode() if last else cursor or NOTHING_YET,
            due={window_name(text): int(stamp) for text, stamp in due},
        )

    async def settled(self, due: Mapping[WindowName, int]) -> None:
        """The windows have these candles: nothing is left to be corrected."""
        args = [word for name, stamp in due.items() for word in (member(name), stamp)]
        if args:
            await self._unstamp(keys=[keys.market_candle_stamps()], args=args)

    async def correct_again(self, symbols: Iterable[str], slot: int) -> None:
        """The windows of these symbols begin anew: their candles count again, from a slot on."""
        names = [(symbol, timeframe) for symbol in symbols for timeframe in TIMEFRAMES]
        if not names:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(keys.market_candles(*name))
            found: list[int] = await pipe.execute()
        stamps = {member(n): slot for n, there in zip(names, found, strict=True) if there}
        if stamps:
            await self._redis.zadd(keys.market_candle_stamps(), stamps, nx=True)

    async def prices(self, symbols: Iterable[str]) -> dict[str, LivePrice]:
        """The newest prices of some symbols; those never seen are left out."""
        wanted = list(symbols)
        if not wanted:
            return {}
        found = await command(self._redis, "HMGET", keys.market_live(), *wanted)
        return {s: _live_price(r) for s, r in zip(wanted, found, strict=True) if r is not None}

    async def use(self, symbols: Iterable[str]) -> None:
        """Sets the symbols that agents trade."""
        wanted = sorted(symbols)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.market_in_use())
            if wanted:
                pipe.sadd(keys.market_in_use(), *wanted)
            await pipe.execute()

    async def in_use(self) -> frozenset[str]:
        """The symbols that agents trade."""
        found: Iterable[bytes] = await command(self._redis, "SMEMBERS", keys.market_in_use())
        return frozenset(symbol.decode() for symbol in found)

    async def ask(self, symbol: str, now: float) -> None:
        """Has a symbol followed for a while, whoever trades it; the last asked for stay."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.market_asked(), {symbol: int(now) + ASKED_S})
            pipe.zremrangebyrank(keys.market_asked(), 0, -ASKED_MAX - 1)
            await pipe.execute()

    async def know_symbols(self, source: str, symbols: Sequence[str]) -> None:
        """Notes every symbol that the live source has, for those who check what is asked for."""
        known = msgspec.json.encode(KnownSymbols(source, tuple(symbols)))
        await command(self._redis, "SET", keys.market_symbols(), known)

    async def known_symbols(self, source: str) -> tuple[str, ...] | None:
        """Every symbol that this source has; None while nobody has said it."""
        told: bytes | None = await command(self._redis, "GET", keys.market_symbols())
        if told is None:
            return None
        known = msgspec.json.decode(told, type=KnownSymbols)
        return known.symbols if known.source == source else None

    async def know_feeds(self, feeds: FeedIds) -> None:
        """Keeps verified feed ids for the process that streams next."""
        told = msgspec.json.encode(feeds)
        await command(self._redis, "SET", keys.market_feeds(), told, "EX", FEEDS_KEPT_S)

    async def known_feeds(self) -> FeedIds | None:
        """The feed ids that were verified in the last day; None where nobody has."""
        told: bytes | None = await command(self._redis, "GET", keys.market_feeds())
        return None if told is None else msgspec.json.decode(told, type=FeedIds)

    async def know_asked(self, owner: str, lately: AskedLately) -> None:
        """Keeps what was asked of Pyth for the process that streams next."""
        entry, told = keys.market_pyth_requests(owner), msgspec.json.encode(lately)
        await command(self._redis, "SET", entry, told, "EX", REQUESTS_KEPT_S)

    async def asked_lately(self, owner: str) -> AskedLately | None:
        """What was asked of Pyth with a key lately; None where nothing was."""
        told: bytes | None = await command(self._redis, "GET", keys.market_pyth_requests(owner))
        return None if told is None else msgspec.json.decode(told, type=AskedLately)

    async def tell(self, report: bytes) -> None:
        """Writes how the stream is doing (JSON), for a few seconds."""
        await command(self._redis, "SET", keys.market_feed_report(), report, "EX", REPORT_TTL_S)

    async def told(self) -> bytes | None:
        """What tell() wrote last, None when nobody streams."""
        report: bytes | None = await command(self._redis, "GET", keys.market_feed_report())
        return report

    async def followed(self, now: float) -> tuple[str, ...]:
        """The symbols to be followed now, in order."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.smembers(keys.market_in_use())
            pipe.zrangebyscore(keys.market_asked(), int(now), "+inf")
            in_use, asked = await pipe.execute()
        return _in_order(in_use, asked)


def left_out(in_use: Iterable[str]) -> list[str]:
    """The symbols that agents trade and that are too many to be followed."""
    return sorted(in_use)[SYMBOLS_MAX:]


def _in_order(in_use: Iterable[bytes], asked: Sequence[bytes]) -> tuple[str, ...]:
    """Those in use first when there are too many; the result is sorted, so that frames agree."""
    traded = sorted(symbol.decode() for symbol in in_use)
    others = [symbol.decode() for symbol in reversed(asked)]
    room = dict.fromkeys([*traded, *others])
    return tuple(sorted(list(room)[:SYMBOLS_MAX]))


def _live_price(record: bytes) -> LivePrice:
    price, publish_time, conf = np.frombuffer(record, _RECORD)[0].tolist()
    return LivePrice(price, publish_time, conf)


def _entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> PathEntry:
    group = msgspec.msgpack.decode(fields[b"g"], type=_Group)
    bars = np.frombuffer(group.bars, "<f8").reshape(len(group.symbols), 5)
    return PathEntry(int(entry_id.partition(b"-")[0]) / 1000, group.symbols, bars)
