"""Shards in Redis: read, commit, push, open, pause. The only code that writes them.

A shard is a head, a table of records, an inbox and a stream of events under one hash tag.
Head is read before rows: rows that are newer than the head fail the commit's comparison,
rows that are older cannot be had. Everything a tick changes lands in one script or not at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from adapters import redis_keys as keys
from adapters.errors import SchemaUnknown, ShardFull
from adapters.redis_client import Redis, command, script
from adapters.shard_records import (
    HALTS_KEPT,
    Commit,
    Committed,
    FleetHalt,
    Head,
    Pushed,
    ShardState,
    StreamBatch,
    changed_ranges,
    decode_halts,
    decode_head,
    decode_inbox,
    decode_skipped,
    encode_halts,
    encode_skipped,
    encode_ticked,
    whole_table,
)
from engine.rows import ROW_SCHEMA, ROWS_PER_SHARD, Halt
from engine.schemas import RECORD_BYTES, rows_from_bytes, rows_to_bytes

INBOX_MAX = 20_000
"""Commands a shard may have waiting."""
INBOX_MAX_FOR_MANY = 16_000
"""The same for who brings many at once: calls about all agents of an owner leave room for others
who share the shard. Each brings one for a row at most, so three of them fit.
"""
MANY = 8
EVENTS_MAX = 200_000
"""Events a shard may hold that the ledger has not stored; ticks stop opening long before."""


class ShardStore:
    """Typed face of the shard scripts. One for each process; safe for concurrent use.

    schema is that of shards which are laid anew; older ones are switched to it as they are ticked.
    """

    def __init__(self, redis: Redis, schema: int = ROW_SCHEMA) -> None:
        self.redis = redis
        self.schema = schema
        self._seen_schemas: dict[int, int] = {}
        self._commit = script(redis, "commit")
        self._push = script(redis, "push_command")
        self._open = script(redis, "open_shard")
        self._pause = script(redis, "pause_shard")
        self._halt = script(redis, "halt_shard")
        self._read_events = script(redis, "read_events")

    async def read(self, shard: int, known: ShardState | None = None) -> ShardState | None:
        """Head, inbox and rows, in this order; rows come from `known` if its version stands.

        Returns None when the shard has no head: recovery makes one, a tick never does.

        Raises:
            SchemaUnknown: a newer version of this software has written the shard.
        """
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(keys.shard_head(shard))
        pipe.lrange(keys.shard_inbox(shard), 0, -1)
        if known is None:
            self._ask_rows(pipe, shard)
        answers: list[Any] = await pipe.execute()
        head = decode_head(answers[0])
        if head is None:
            return None
        if head.schema not in RECORD_BYTES:
            raise SchemaUnknown(shard, head.schema)
        inbox = decode_inbox(answers[1])
        table = answers[2:]
        if known is not None:
            if (known.head.version, known.head.run_id) == (head.version, head.run_id):
                return ShardState(head, known.rows, inbox)
            again = self.redis.pipeline(transaction=False)
            self._ask_rows(again, shard)
            table = await again.execute()
        rows, schema = table
        if schema is None or int(schema) != head.schema:
            return await self.read(shard)  # it was switched meanwhile, which happens once
        return ShardState(head, rows_from_bytes(rows or b"", head.schema), inbox)

    def _ask_rows(self, pipe: Any, shard: int) -> None:
        """The table and, after it, the schema: if that is the head's, it is the table's, too."""
        pipe.get(keys.shard_rows(shard))
        pipe.hget(keys.shard_head(shard), "schema")

    async def commit(self, shard: int, read: ShardState, commit: Commit) -> Committed:
        """Writes one outcome if nothing has moved since `read`; see scripts/commit.lua."""
        if commit.schema is None:
            schema = read.head.schema
            ranges = changed_ranges(commit.rows, commit.changed, schema)
        else:
            schema = commit.schema
            ranges = whole_table(commit.rows, schema)
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
            RECORD_BYTES[schema] * ROWS_PER_SHARD,
            EVENTS_MAX,
            keys.ticked_channel(),
            encode_ticked(shard, commit.slot, read.head.version + 1),
            "" if commit.schema is None else schema,
            b"" if commit.held is None else encode_skipped(commit.held),
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
            schema=read.head.schema if commit.schema is None else commit.schema,
            held=read.head.held if commit.held is None else commit.held,
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
        return await self.push_groups([(shard, [payload]) for shard, payload in commands])

    async def push_groups(
        self, groups: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[Pushed | None]:
        """Commands of one shard together, under one stamp; the number is that of the last one.

        A group is in the inbox as a whole or not at all; one of MANY commands or more only fits
        where INBOX_MAX_FOR_MANY is not exceeded.
        """
        # Closed whatever happens: a pipeline that is canceled while it looks for its scripts would
        # keep its connection.
        async with self.redis.pipeline(transaction=False) as pipe:
            for shard, payloads in groups:
                shard_keys = [keys.shard_head(shard), keys.shard_inbox(shard)]
                longest = INBOX_MAX if len(payloads) < MANY else INBOX_MAX_FOR_MANY
                await self._push(keys=shard_keys, args=[longest, *payloads], client=pipe)
            answers: list[Any] = await pipe.execute()
        pushed: list[Pushed | None] = []
        for (shard, _), answer in zip(groups, answers, strict=True):
            if answer[0] == -2:
                raise ShardFull(shard, f"too many of its {INBOX_MAX} commands are waiting")
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
        """Head and some records, by row number, in one round trip; records not yet written lack.

        Raises:
            SchemaUnknown: a newer version of this software has written the shard.
        """
        schema = self._seen_schemas.get(shard, self.schema)
        while True:
            size = RECORD_BYTES[schema]
            pipe = self.redis.pipeline(transaction=False)
            pipe.hgetall(keys.shard_head(shard))
            for row in wanted:
                pipe.getrange(keys.shard_rows(shard), row * size, (row + 1) * size - 1)
            pipe.hget(keys.shard_head(shard), "schema")
            answers: list[Any] = await pipe.execute()
            head = decode_head(answers[0])
            if head is None:
                return None
            if head.schema == schema == int(answers[-1] or 0):
                break
            if head.schema not in RECORD_BYTES:
                raise SchemaUnknown(shard, head.schema)
            schema = self._seen_schemas[shard] = head.schema
        records = zip(wanted, answers[1:-1], strict=True)
        found = {row: data for row, data in records if len(data) == size}
        return head, {row: rows_from_bytes(data, schema)[0] for row, data in found.items()}

    async def read_events(self, shard: int, after_version: int, limit: int) -> StreamBatch:
        """Events above a version, at least one whole version of them if there is any."""
        shard_keys = [keys.shard_head(shard), keys.shard_events(shard)]
        while True:
            answer = await self._read_events(keys=shard_keys, args=[after_version, limit])
            entries: list[tuple[int, int, bytes]] = []
            for i in range(2, len(answer), 2):
                version, _, n = answer[i].partition(b"-")
                entries.append((int(version), int(n), bytes(answer[i + 1])))
            skipped = decode_skipped(answer[1] if len(answer) > 1 else b"")
            batch = StreamBatch(answer[0].decode(), entries, skipped)
            if len(entries) < limit:
                return batch
            last = batch.entries[-1][0]
            whole = [entry for entry in batch.entries if entry[0] != last]
            if whole:
                return StreamBatch(batch.run_id, whole, skipped)
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
            new.head.schema,
            rows_to_bytes(new.rows, new.head.schema),
            encode_skipped(new.head.skipped),
            new.head.folded_slot,
            "1" if new.head.paused else "",
            keys.ticked_channel(),
            encode_ticked(shard, new.head.slot, new.head.version),
            encode_skipped(new.head.held),
            encode_halts(new.head.halts),
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
        async with self.redis.pipeline(transaction=False) as pipe:
            for shard in shards:
                await self._pause(keys=[keys.shard_head(shard)], client=pipe)
            await pipe.execute()

    async def halt(
        self, shards: Sequence[int], halt: Halt, epoch: int
    ) -> dict[int, FleetHalt | None]:
        """Tells shards how far the fleet is held back; from which slot on each does so.

        None for a shard that has no head yet: its recovery asks the record.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            for shard in shards:
                args = [epoch, int(halt), HALTS_KEPT]
                await self._halt(keys=[keys.shard_head(shard)], args=args, client=pipe)
            answers: list[Any] = await pipe.execute()
        return {
            shard: None if answer[0] == -1 else FleetHalt(int(answer[1]), halt, int(answer[0]))
            for shard, answer in zip(shards, answers, strict=True)
        }

    async def halt_epochs(self, shards: Sequence[int]) -> dict[int, int]:
        """The newest halt of the fleet that each shard has; one without a head is left out."""
        pipe = self.redis.pipeline(transaction=False)
        for shard in shards:
            pipe.hmget(keys.shard_head(shard), ["version", "halts"])
        answers: list[Any] = await pipe.execute()
        return {
            shard: halts[-1].epoch if (halts := decode_halts(told or b"")) else 0
            for shard, (version, told) in zip(shards, answers, strict=True)
            if version is not None
        }

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

    async def now_slot(self) -> int:
        """The slot that now is, asked of Redis itself."""
        seconds, _ = await self.redis.time()
        return int(seconds)

    async def run_id(self) -> str:
        """The id of the Redis process; a restart or a failover changes it."""
        info = await self.redis.info("server")
        return str(info["run_id"])
