"""Shards in Redis: read, commit, push, open, pause. The only code that writes them.

A shard is a head, a table of records, an inbox and a stream of events under one hash tag.
Head is read before rows: rows that are newer than the head fail the commit's comparison,
rows that are older cannot be had. Everything a tick changes lands in one script or not at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.errors import ShardFull
from adapters.redis_client import Redis, command, script
from engine.rows import ROW, ROW_SCHEMA, ROWS_PER_SHARD, rows_from_bytes
from engine.schedule import SkippedRange

Rows = NDArray[np.void]

INBOX_MAX = 20_000
"""Commands a shard may have waiting; one bulk call of 10,000 fits twice."""
EVENTS_MAX = 200_000
"""Events a shard may hold that the ledger has not stored; ticks stop opening long before."""
WHOLE_TABLE_ABOVE = 256
"""Changed records above which the whole table is written (4,096 SETRANGE cost 8.9 ms, one 1.1)."""
COMMAND_PREFIX_BYTES = 16

Refusal = Literal["no_head", "version", "run_id", "slot", "future", "inbox", "arguments", "full"]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a shard stands. slot is the last one covered, due or not."""

    version: int
    slot: int
    next_due: int | None
    schema: int
    run_id: str
    skipped: tuple[SkippedRange, ...]
    folded_slot: int
    paused: bool


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A command as it waits: applied before slot `stamp`, not earlier."""

    stamp: int
    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ShardState:
    """What one tick has read: rows are read-only and belong to head.version."""

    head: Head
    rows: Rows
    inbox: tuple[InboxEntry, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """What one tick wants to change. rows is the whole table, changed says which differ."""

    slot: int
    next_due: int | None
    rows: Rows
    changed: NDArray[np.intp]
    events: Sequence[bytes]
    applied: int
    skipped: tuple[SkippedRange, ...] | None = None
    folded_slot: int | None = None
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer: refused is None when it landed."""

    refused: Refusal | None
    version: int = 0
    inbox_left: int = 0


@dataclass(frozen=True, slots=True)
class Pushed:
    """A command in the inbox: its number in the shard and the slot before which it applies."""

    number: int
    stamp: int


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Events above a version, whole versions only. run_id is '' while recovery is due."""

    run_id: str
    entries: list[tuple[int, int, bytes]]


def encode_skipped(skipped: Iterable[SkippedRange]) -> bytes:
    """Ranges as a msgpack list of [first, last, paused]."""
    return msgspec.msgpack.encode([[r.first, r.last, r.paused] for r in skipped])


def decode_skipped(data: bytes) -> tuple[SkippedRange, ...]:
    """The inverse of encode_skipped; empty bytes are no ranges."""
    if not data:
        return ()
    return tuple(SkippedRange(*item) for item in msgspec.msgpack.decode(data))


def encode_ticked(shard: int, slot: int, version: int) -> bytes:
    """What is announced of a commit: its shard, the slot now covered, the version."""
    return msgspec.msgpack.encode((shard, slot, version))


def decode_ticked(message: bytes) -> tuple[int, int, int]:
    """The inverse: (shard, slot, version)."""
    return msgspec.msgpack.decode(message, type=tuple[int, int, int])


def decode_head(fields: dict[bytes, bytes]) -> Head | None:
    """The head hash as it lies in Redis, None for an empty one."""
    if b"version" not in fields:
        return None
    next_due = fields.get(b"next_due", b"")
    return Head(
        version=int(fields[b"version"]),
        slot=int(fields[b"slot"]),
        next_due=int(next_due) if next_due else None,
        schema=int(fields[b"schema"]),
        run_id=fields[b"run_id"].decode(),
        skipped=decode_skipped(fields.get(b"skipped", b"")),
        folded_slot=int(fields.get(b"folded_slot", b"0")),
        paused=fields.get(b"paused") == b"1",
    )


def decode_inbox(entries: Iterable[bytes]) -> tuple[InboxEntry, ...]:
    """Stamp and number are eight big-endian bytes each, in front of the command."""
    return tuple(
        InboxEntry(
            stamp=int.from_bytes(entry[:8], "big"),
            number=int.from_bytes(entry[8:COMMAND_PREFIX_BYTES], "big"),
            payload=entry[COMMAND_PREFIX_BYTES:],
        )
        for entry in entries
    )


def changed_ranges(rows: Rows, changed: NDArray[np.intp]) -> list[tuple[int, bytes]]:
    """Changed records as (byte offset, bytes); neighbors as one, many as the whole table."""
    if changed.size == 0:
        return []
    if changed.size > WHOLE_TABLE_ABOVE:
        return [(0, rows.tobytes())]
    breaks = np.nonzero(np.diff(changed) > 1)[0] + 1
    return [
        (int(run[0]) * ROW.itemsize, rows[int(run[0]) : int(run[-1]) + 1].tobytes())
        for run in np.split(changed, breaks)
    ]


class ShardStore:
    """Typed face of the shard scripts. One for each process; safe for concurrent use."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._commit = script(redis, "commit")
        self._push = script(redis, "push_command")
        self._open = script(redis, "open_shard")
        self._pause = script(redis, "pause_shard")
        self._read_events = script(redis, "read_events")

    async def read(self, shard: int, known: ShardState | None = None) -> ShardState | None:
        """Head, inbox and rows, in this order; rows come from `known` if its version stands.

        Returns None when the shard has no head: recovery makes one, a tick never does.
        """
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(keys.shard_head(shard))
        pipe.lrange(keys.shard_inbox(shard), 0, -1)
        if known is None:
            pipe.get(keys.shard_rows(shard))
        answers: list[Any] = await pipe.execute()
        head = decode_head(answers[0])
        if head is None:
            return None
        inbox = decode_inbox(answers[1])
        if known is None:
            rows = rows_from_bytes(answers[2] or b"")
        elif (known.head.version, known.head.run_id) == (head.version, head.run_id):
            rows = known.rows
        else:
            raw = await command(self.redis, "GET", keys.shard_rows(shard))
            rows = rows_from_bytes(raw or b"")
        return ShardState(head, rows, inbox)

    async def commit(self, shard: int, read: ShardState, commit: Commit) -> Committed:
        """Writes one outcome if nothing has moved since `read`; see scripts/commit.lua."""
        ranges = changed_ranges(commit.rows, commit.changed)
        args: list[Any] = [
            read.head.version,
            read.head.run_id,
            commit.slot,
            "" if commit.next_due is None else commit.next_due,
            len(read.inbox),
            commit.applied,
            b"" if commit.skipped is None else encode_skipped(commit.skipped),
            "" if commit.folded_slot is None else commit.folded_slot,
            "1" if commit.resumed else "",
            ROW.itemsize * ROWS_PER_SHARD,
            EVENTS_MAX,
            keys.ticked_channel(),
            encode_ticked(shard, commit.slot, read.head.version + 1),
            len(ranges),
            len(commit.events),
        ]
        for offset, data in ranges:
            args += (offset, data)
        args += commit.events
        shard_keys = [
            keys.shard_head(shard),
            keys.shard_rows(shard),
            keys.shard_inbox(shard),
            keys.shard_events(shard),
        ]
        answer = await self._commit(keys=shard_keys, args=args)
        if answer[0] == b"ok":
            return Committed(None, int(answer[1]), int(answer[2]))
        return Committed(answer[0].decode())

    def after(self, read: ShardState, commit: Commit, committed: Committed) -> ShardState:
        """The state that a commit has made, so that the next tick need not read rows again."""
        head = replace(
            read.head,
            version=committed.version,
            slot=commit.slot,
            next_due=commit.next_due,
            skipped=read.head.skipped if commit.skipped is None else commit.skipped,
            folded_slot=read.head.folded_slot if commit.folded_slot is None else commit.folded_slot,
            paused=read.head.paused and not commit.resumed,
        )
        return ShardState(head, commit.rows, ())

    async def push(self, shard: int, payload: bytes) -> Pushed | None:
        """Puts a command into the inbox.

        Returns None when the shard has no head yet.

        Raises:
            ShardFull: INBOX_MAX commands are waiting.
        """
        return (await self.push_all([(shard, payload)]))[0]

    async def push_all(self, commands: Sequence[tuple[int, bytes]]) -> list[Pushed | None]:
        """The same for many commands in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for shard, payload in commands:
            shard_keys = [keys.shard_head(shard), keys.shard_inbox(shard)]
            await self._push(keys=shard_keys, args=[payload, INBOX_MAX], client=pipe)
        answers: list[Any] = await pipe.execute()
        pushed: list[Pushed | None] = []
        for (shard, _), answer in zip(commands, answers, strict=True):
            if answer[0] == -2:
                raise ShardFull(shard, f"{INBOX_MAX} commands are waiting already")
            pushed.append(None if answer[0] == -1 else Pushed(int(answer[0]), int(answer[1])))
        return pushed

    async def read_head(self, shard: int) -> Head | None:
        """The head alone."""
        return decode_head(await command(self.redis, "HGETALL", keys.shard_head(shard)))

    async def read_row(self, shard: int, row: int) -> tuple[Head, np.void] | None:
        """Head and one record; None without a head or before the record was written."""
        found = await self.read_some(shard, [row])
        if found is None:
            return None
        head, rows = found
        return (head, rows[row]) if row in rows else None

    async def read_some(
        self, shard: int, wanted: Sequence[int]
    ) -> tuple[Head, dict[int, np.void]] | None:
        """Head and some records, by row number, in one round trip; records not yet written lack."""
        size = ROW.itemsize
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(keys.shard_head(shard))
        for row in wanted:
            pipe.getrange(keys.shard_rows(shard), row * size, (row + 1) * size - 1)
        answers: list[Any] = await pipe.execute()
        head = decode_head(answers[0])
        if head is None:
            return None
        records = zip(wanted, answers[1:], strict=True)
        return head, {r: rows_from_bytes(data)[0] for r, data in records if len(data) == size}

    async def read_events(self, shard: int, after_version: int, limit: int) -> StreamBatch:
        """Events above a version, at least one whole version of them if there is any."""
        shard_keys = [keys.shard_head(shard), keys.shard_events(shard)]
        while True:
            answer = await self._read_events(keys=shard_keys, args=[after_version, limit])
            entries: list[tuple[int, int, bytes]] = []
            for i in range(1, len(answer), 2):
                version, _, n = answer[i].partition(b"-")
                entries.append((int(version), int(n), bytes(answer[i + 1])))
            batch = StreamBatch(answer[0].decode(), entries)
            if len(entries) < limit:
                return batch
            last = batch.entries[-1][0]
            whole = [entry for entry in batch.entries if entry[0] != last]
            if whole:
                return StreamBatch(batch.run_id, whole)
            limit *= 2

    async def trim_events(self, shard: int, stored_version: int) -> None:
        """Drops what the ledger holds: every event up to and including a version."""
        await command(
            self.redis, "XTRIM", keys.shard_events(shard), "MINID", f"{stored_version + 1}-0"
        )

    async def events_waiting(self, shards: Sequence[int]) -> dict[int, int]:
        """How many events of each shard are in the stream."""
        pipe = self.redis.pipeline(transaction=False)
        for shard in shards:
            pipe.xlen(keys.shard_events(shard))
        return dict(zip(shards, (int(n) for n in await pipe.execute()), strict=True))

    async def open(
        self, shard: int, run_id: str, seen: Head | None, new: ShardState, commands: Sequence[bytes]
    ) -> bool:
        """Lays a recovered shard; False when another recovery or another restart came first."""
        args: list[Any] = [
            run_id,
            "" if seen is None else seen.version,
            "" if seen is None else seen.run_id,
            new.head.version,
            new.head.slot,
            ROW_SCHEMA,
            new.rows.tobytes(),
            encode_skipped(new.head.skipped),
            new.head.folded_slot,
            "1" if new.head.paused else "",
            keys.ticked_channel(),
            encode_ticked(shard, new.head.slot, new.head.version),
            *commands,
        ]
        shard_keys = [
            keys.shard_head(shard),
            keys.shard_rows(shard),
            keys.shard_inbox(shard),
            keys.shard_events(shard),
        ]
        return bool(await self._open(keys=shard_keys, args=args))

    async def pause(self, shards: Sequence[int]) -> None:
        """An orderly stop of the whole pool; see scripts/pause_shard.lua."""
        pipe = self.redis.pipeline(transaction=False)
        for shard in shards:
            await self._pause(keys=[keys.shard_head(shard)], client=pipe)
        await pipe.execute()

    async def bury(self, shard: int, payload: bytes, reason: str) -> None:
        """Keeps a command that could not be applied, for a person to look at."""
        pipe = self.redis.pipeline(transaction=False)
        entry = msgspec.msgpack.encode([reason[:500], payload])
        pipe.lpush(keys.shard_dead(shard), entry)
        pipe.ltrim(keys.shard_dead(shard), 0, 99)
        await pipe.execute()

    async def open_shards(self) -> list[int]:
        """The shards in the directory, ascending."""
        members = await command(self.redis, "SMEMBERS", keys.shards())
        return sorted(int(member) for member in members)

    async def add_to_directory(self, shards: Iterable[int]) -> None:
        """Notes shards as open."""
        members = list(shards)
        if members:
            await command(self.redis, "SADD", keys.shards(), *members)

    async def run_id(self) -> str:
        """The id of the Redis process; a restart or a failover changes it."""
        info = await self.redis.info("server")
        return str(info["run_id"])
