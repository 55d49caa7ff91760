"""Sees every script that Redis runs: keeps the history that counts, and objects at once.

A commit that was lost in a crash, and that the ledger had not stored, never happened: it is taken
out of the history when the shard is recovered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adapters import redis_keys as keys
from adapters.shard_records import Head, decode_head
from engine.rows import ROW_SCHEMA, Rows
from engine.schedule import SkippedRange
from engine.schemas import rows_from_bytes
from tests.servers.memory_redis import MemoryRedis
from tests.servers.redis_values import Hash, Keyspace, List, Reply, Stream
from tests.simulation.real_side import RealSide

SHARDS = 3
_TABLES = (keys.market_signals, keys.market_readings)


class Violation(AssertionError):
    """A promise of the design that was broken."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit did: the inbox entries it applied, its events as they were encoded."""

    version: int
    slot: int
    applied: tuple[bytes, ...]
    events: tuple[bytes, ...]
    skipped: tuple[SkippedRange, ...]
    """Slots that the head says were not run, after it."""
    tables: Mapping[bytes, bytes]
    """Signals and readings of the slots that it covers, by their keys."""


@dataclass(slots=True)
class ShardHistory:
    """Commits that count, and where the shard began."""

    began: int = 0
    commits: list[Committed] = field(default_factory=list)
    recoveries: int = 0
    lost: list[SkippedRange] = field(default_factory=list)
    """Slots that were over when the shard was laid from nothing."""
    laid: list[tuple[int, Rows]] = field(default_factory=list)
    """Slot and table of each recovery: how far the best prices of open positions are known, which
    move without an event, is decided there."""

    def slots_not_run(self, *, paused: bool) -> set[int]:
        """Slots that were missed, or paused, by all that was ever said of them."""
        ranges = [*self.lost, *(each for commit in self.commits for each in commit.skipped)]
        return {
            slot
            for each in set(ranges)
            if each.paused == paused
            for slot in range(each.first, each.last + 1)
        }


@dataclass(slots=True)
class _Seen:
    """A shard as it was before a script."""

    head: Head | None
    rows: Rows
    inbox: tuple[bytes, ...]


class Witness:
    """Of one Redis and one run of the simulation."""

    def __init__(self, redis: MemoryRedis, side: RealSide, names: dict[bytes, str]) -> None:
        self._redis = redis
        self._side = side
        self._names = names
        self.shards = {shard: ShardHistory() for shard in range(SHARDS)}
        self.frames: dict[int, bytes] = {}
        self.pushed: dict[int, list[bytes]] = {}
        self.poisoned: set[bytes] = set()
        """Agents that somebody has tampered with: nothing is promised to them."""
        self.refusals: dict[str, int] = {}
        self.lost_frames: set[int] = set()
        """Slots whose frames went with a crash: what was not run by then never will be."""
        self._before: dict[int, _Seen] = {}
        self._kept: dict[int, int] = {}
        """The version with which each shard came up after a crash. An orderly stop may have raised
        it before its recovery: that is not a commit."""
        self.on_violation: Callable[[Exception], None] = _raise

    def before_script(
        self, sha: bytes, script_keys: Sequence[bytes], arguments: Sequence[bytes]
    ) -> None:
        if self._names.get(sha) in {"commit", "open_shard"}:
            shard = _shard_of(script_keys[0])
            self._before[shard] = self._see(shard)

    def after_script(
        self,
        sha: bytes,
        script_keys: Sequence[bytes],
        arguments: Sequence[bytes],
        reply: Reply,
    ) -> None:
        try:
            self._look(sha, script_keys, arguments, reply)
        except Violation as violation:
            # Not into the code that is looked at, which might live with it.
            self.on_violation(violation)

    def _look(
        self,
        sha: bytes,
        script_keys: Sequence[bytes],
        arguments: Sequence[bytes],
        reply: Reply,
    ) -> None:
        match self._names.get(sha):
            case "commit":
                assert isinstance(reply, list)
                self._committed(_shard_of(script_keys[0]), reply, arguments)
            case "open_shard" if reply == 1:
                self._opened(_shard_of(script_keys[0]))
            case "push_command":
                self.pushed.setdefault(_shard_of(script_keys[0]), []).extend(arguments[1:])
            case "frame" if isinstance(reply, list) and reply[0] == b"stored":
                self._framed(int(arguments[0]), arguments[2])

    def _see(self, shard: int) -> _Seen:
        db = self._redis.keys
        head = decode_head(dict(db.read(Hash, keys.shard_head(shard).encode())))
        raw = db.string(keys.shard_rows(shard).encode()) or b""
        inbox = tuple(db.read(List, keys.shard_inbox(shard).encode()))
        rows = rows_from_bytes(raw, head.schema if head is not None else ROW_SCHEMA)
        return _Seen(head, rows, inbox)

    def _committed(self, shard: int, reply: list[Reply], arguments: Sequence[bytes]) -> None:
        before = self._before.pop(shard)
        if reply[0] != b"ok":
            word = reply[0].decode() if isinstance(reply[0], bytes) else "?"
            self.refusals[word] = self.refusals.get(word, 0) + 1
            return
        after = self._see(shard)
        if before.head is None or after.head is None:
            raise Violation(f"shard {shard}: a commit landed without a head")
        where = f"shard {shard}, version {after.head.version}, slot {after.head.slot}"
        if int(arguments[0]) != before.head.version:
            raise Violation(f"{where}: a commit on version {int(arguments[0])} landed")
        if before.head.run_id != self._redis.run_id:
            raise Violation(f"{where}: a commit landed before the shard was recovered")
        if after.head.slot < before.head.slot:
            raise Violation(f"{where}: the head's slot went back from {before.head.slot}")
        if after.head.slot > int(self._redis.now()):
            raise Violation(f"{where}: a slot of the future was committed")
        applied = before.inbox[: len(before.inbox) - len(after.inbox)]
        for entry in after.inbox:
            if int.from_bytes(entry[:8], "big") <= after.head.slot:
                raise Violation(f"{where}: a command stamped at or below it was not read")
        self._compare_rows(where, before.rows, after.rows)
        events = self._events_of(shard, after.head.version)
        self.shards[shard].commits.append(
            Committed(
                after.head.version,
                after.head.slot,
                applied,
                events,
                after.head.skipped,
                self._tables(range(before.head.slot + 1, after.head.slot + 1)),
            )
        )

    def _compare_rows(self, where: str, before: Rows, after: Rows) -> None:
        size = min(len(before), len(after))
        old, new = before[:size], after[:size]
        if np.any(new["epoch"] < old["epoch"]):
            raise Violation(f"{where}: the epoch of a row went back")
        same = old["agent_id"] == new["agent_id"]
        if np.any(same & (new["seq"] < old["seq"])):
            raise Violation(f"{where}: the sequence of an agent went back")

    def _events_of(self, shard: int, version: int) -> tuple[bytes, ...]:
        stream = self._redis.keys.read(Stream, keys.shard_events(shard).encode())
        return tuple(fields[1] for (at, _), fields in stream.entries if at == version)

    def _opened(self, shard: int) -> None:
        """A recovery has laid the shard: what was neither kept nor stored never happened."""
        before, after = self._before.pop(shard), self._see(shard)
        assert after.head is not None
        history = self.shards[shard]
        cursor = self._side.ask("SELECT version, slot FROM shards WHERE id = $1", shard)[0]
        if after.head.version <= cursor["version"]:
            raise Violation(f"shard {shard} was opened at a version that the ledger has seen")
        if before.head is None:
            kept = cursor["version"] - 1  # recovery has raised it by one
            history.lost += after.head.skipped
            history.began = history.began or after.head.slot
            # what a recovery has laid in slots that count as missed now went with them
            history.laid = [each for each in history.laid if each[0] <= cursor["slot"]]
        else:
            kept = self._kept.get(shard, before.head.version)
            kept = max(kept, cursor["version"])
        self._kept.pop(shard, None)
        if after.head.slot < cursor["slot"]:
            raise Violation(f"shard {shard} was opened at a slot below one that is stored")
        history.commits = [each for each in history.commits if each.version <= kept]
        history.laid = [each for each in history.laid if each[0] < after.head.slot]
        history.laid.append((after.head.slot, after.rows))
        history.recoveries += 1

    def _framed(self, slot: int, frame: bytes) -> None:
        if slot in self.frames:
            raise Violation(f"slot {slot} got a second frame")
        if slot != int(self._redis.now()):
            raise Violation(f"the frame of slot {slot} was made at {self._redis.now():.3f}")
        self.frames[slot] = frame

    def _tables(self, slots: range) -> dict[bytes, bytes]:
        names = [name(slot).encode() for slot in slots for name in _TABLES]
        found = ((name, self._redis.keys.string(name)) for name in names)
        return {name: table for name, table in found if table is not None}

    def tables_used(self) -> dict[bytes, bytes]:
        """The signals and readings of every slot, as all commits that count have seen them."""
        used: dict[bytes, bytes] = {}
        for history in self.shards.values():
            for commit in history.commits:
                for name, table in commit.tables.items():
                    used[name] = _joined(name, used.get(name, b""), table)
        return used

    def crashed(self, kept: Keyspace) -> None:
        """Redis has gone down and will come up with this."""
        there = {slot for slot in self.frames if kept.find(_frame_key(slot)) is not None}
        self.lost_frames |= self.frames.keys() - there
        for shard in self.shards:
            head = decode_head(dict(kept.read(Hash, keys.shard_head(shard).encode())))
            version = 0 if head is None else head.version
            self._kept[shard] = min(version, self._kept.get(shard, version))


def _joined(name: bytes, one: bytes, other: bytes) -> bytes:
    """Both tables in one. What is settled in both must be the same: it was used."""
    size = max(len(one), len(other))
    cells = np.frombuffer(one.ljust(size, b"\0"), np.int64)
    others = np.frombuffer(other.ljust(size, b"\0"), np.int64)
    if np.any((cells != others) & (cells != 0) & (others != 0)):
        raise Violation(f"{name.decode()} was not the same to all who used it")
    return np.where(cells != 0, cells, others).tobytes()


def _raise(error: Exception) -> None:
    raise error


def _frame_key(slot: int) -> bytes:
    return keys.market_frame(slot).encode()


def _shard_of(key: bytes) -> int:
    return int(key.split(b"{s", 1)[1].split(b"}", 1)[0])
