"""What a shard in Redis is made of, as values, and their bytes. No I/O.

Rows are those of the newest schema in here; which one lies in Redis is the head's to say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.rows import ROW_SCHEMA, Halt, Rows
from engine.schedule import SkippedRange
from engine.schemas import RECORD_BYTES, rows_to_bytes

WHOLE_TABLE_ABOVE = 256
"""Changed records above which the whole table is written (4,096 SETRANGE cost 8.9 ms, one 1.1)."""
COMMAND_PREFIX_BYTES = 16
SKIPPED_ON_RECORD_MAX = 512
"""Ranges of slots not run that PostgreSQL keeps of a shard, newest last."""

HALTS_KEPT = 64
"""Changes of the fleet's halt that a head keeps: a catch-up asks for those of a minute ago."""

Refusal = Literal["no_head", "version", "run_id", "slot", "future", "inbox", "arguments", "full"]


@dataclass(frozen=True, slots=True)
class FleetHalt:
    """From a slot on the fleet is held back so far. epoch counts the changes, over all shards."""

    first: int
    halt: Halt
    epoch: int


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
    held: tuple[SkippedRange, ...] = ()
    """Slots that were run without entries, newest last: the ledger was too far behind, or the fleet
    was held back; `paused` ones without any decision by signal or age, too."""
    halts: tuple[FleetHalt, ...] = ()

    def halt_at(self, slot: int) -> Halt:
        """How far the fleet is held back in a slot."""
        return fleet_halt_at(self.halts, slot)

    @property
    def halt_epoch(self) -> int:
        """Of the newest change of the fleet's halt that the shard has."""
        return self.halts[-1].epoch if self.halts else 0


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
    """What one tick wants to change. rows is the whole table, changed says which differ. None: as
    it is; schema is another one than the head's where the shard is switched.
    """

    slot: int
    next_due: int | None
    rows: Rows
    changed: NDArray[np.intp]
    events: Sequence[bytes]
    applied: int
    skipped: tuple[SkippedRange, ...] | None = None
    folded_slot: int | None = None
    resumed: bool = False
    schema: int | None = None
    held: tuple[SkippedRange, ...] | None = None


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
    """Events above a version, whole versions only. run_id is '' while recovery is due.

    skipped: the slots that the head says were not run.
    """

    run_id: str
    entries: list[tuple[int, int, bytes]]
    skipped: tuple[SkippedRange, ...] = ()


def encode_skipped(skipped: Iterable[SkippedRange]) -> bytes:
    """Ranges as a msgpack list of [first, last, paused]."""
    return msgspec.msgpack.encode([[r.first, r.last, r.paused] for r in skipped])


def decode_skipped(data: bytes) -> tuple[SkippedRange, ...]:
    """The inverse of encode_skipped; empty bytes are no ranges."""
    if not data:
        return ()
    return tuple(SkippedRange(*item) for item in msgspec.msgpack.decode(data))


def united(ranges: Iterable[SkippedRange], through: int) -> tuple[SkippedRange, ...]:
    """Ranges of several tellings of one shard as one list, ascending and disjoint, up to a slot.

    The oldest go when there are more than SKIPPED_ON_RECORD_MAX.
    """
    kept: list[SkippedRange] = []
    for each in sorted(ranges, key=lambda told: told.first):
        first = max(each.first, kept[-1].last + 1) if kept else each.first
        last = min(each.last, through)
        if first > last:
            continue
        if kept and (kept[-1].last + 1, kept[-1].paused) == (first, each.paused):
            kept[-1] = SkippedRange(kept[-1].first, last, each.paused)
        else:
            kept.append(SkippedRange(first, last, each.paused))
    return tuple(kept[-SKIPPED_ON_RECORD_MAX:])


def fleet_halt_at(halts: Sequence[FleetHalt], slot: int) -> Halt:
    """How far the fleet is held back in a slot; changes newest last."""
    return next((each.halt for each in reversed(halts) if each.first <= slot), Halt.ACTIVE)


def encode_halts(halts: Sequence[FleetHalt]) -> str:
    """As scripts/halt_shard.lua has them: `slot:halt:epoch` with spaces between."""
    return " ".join(f"{each.first}:{int(each.halt)}:{each.epoch}" for each in halts[-HALTS_KEPT:])


def decode_halts(text: bytes) -> tuple[FleetHalt, ...]:
    """The inverse."""
    return tuple(
        FleetHalt(first, Halt(halt), epoch)
        for first, halt, epoch in (map(int, each.split(b":")) for each in text.split())
    )


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
        held=decode_skipped(fields.get(b"held", b"")),
        halts=decode_halts(fields.get(b"halts", b"")),
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


def changed_ranges(
    rows: Rows, changed: NDArray[np.intp], schema: int = ROW_SCHEMA
) -> list[tuple[int, bytes]]:
    """Changed records as (byte offset, bytes); neighbors as one, many as the whole table."""
    if changed.size == 0:
        return []
    if changed.size > WHOLE_TABLE_ABOVE:
        return whole_table(rows, schema)
    size = RECORD_BYTES[schema]
    breaks = np.nonzero(np.diff(changed) > 1)[0] + 1
    return [
        (int(run[0]) * size, rows_to_bytes(rows[int(run[0]) : int(run[-1]) + 1], schema))
        for run in np.split(changed, breaks)
    ]


def whole_table(rows: Rows, schema: int = ROW_SCHEMA) -> list[tuple[int, bytes]]:
    """Every record, as one range."""
    return [(0, rows_to_bytes(rows, schema))]
