"""A minute of the market as one compressed block: what a replay needs of Redis, kept elsewhere.

Frames of neighboring slots differ in a few bytes, so each is written as its difference from the
one before it, and zlib makes little of the zeros: tens of times smaller than the frames.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from adapters import redis_keys as keys
from adapters.errors import AdapterError
from adapters.redis_client import Redis
from adapters.shard_records import decode_skipped
from engine.schedule import SkippedRange

Ranges = Mapping[int, tuple[SkippedRange, ...]]
"""Of slots, by shard."""
BLOCK_SLOTS = 60
"""Slots of one block; it begins at a whole minute."""
FORMAT = 1
_LEVEL = 6


class BrokenBlock(AdapterError):
    """Bytes that are no block, or one of a format that this version does not know."""


@dataclass(frozen=True, slots=True)
class Block:
    """One minute. frames, signals and readings are as they lay in Redis, by slot; skipped are the
    ranges of slots that shards had not run, held of those run without entries, by shard, as their
    heads told when the block was made: of this minute and of the time before it.
    """

    first_slot: int
    frames: Mapping[int, bytes]
    signals: Mapping[int, bytes]
    readings: Mapping[int, bytes]
    skipped: Ranges
    held: Ranges = field(default_factory=dict)


def encode_block(block: Block) -> bytes:
    """Its compressed form."""
    body = (
        FORMAT,
        block.first_slot,
        _as_differences(block.frames),
        _as_differences(block.signals),
        _as_differences(block.readings),
        _as_lists(block.skipped),
        _as_lists(block.held),
    )
    return zlib.compress(msgspec.msgpack.encode(body), _LEVEL)


def decode_block(data: bytes) -> Block:
    """Raises BrokenBlock."""
    try:
        # blocks of an earlier version end with `skipped`
        format_, first_slot, frames, signals, readings, skipped, *rest = msgspec.msgpack.decode(
            zlib.decompress(data)
        )
        if format_ != FORMAT:
            raise BrokenBlock(f"a block of format {format_}; this version reads {FORMAT}")
        return Block(
            first_slot,
            _from_differences(frames),
            _from_differences(signals),
            _from_differences(readings),
            _from_lists(skipped),
            _from_lists(rest[0]) if rest else {},
        )
    except (zlib.error, msgspec.DecodeError, TypeError, ValueError) as error:
        raise BrokenBlock(f"no block of the archive: {error}") from error


def _as_lists(told: Ranges) -> dict[int, list[tuple[int, int, bool]]]:
    return {shard: [(r.first, r.last, r.paused) for r in told[shard]] for shard in told}


def _from_lists(told: Mapping[int, Sequence[tuple[int, int, bool]]]) -> Ranges:
    return {shard: tuple(SkippedRange(*each) for each in told[shard]) for shard in told}


def _as_differences(values: Mapping[int, bytes]) -> list[tuple[int, bool, bytes]]:
    """(slot, whether it is the difference from the one before it, bytes)."""
    told: list[tuple[int, bool, bytes]] = []
    before = b""
    for slot in sorted(values):
        value = values[slot]
        same_size = len(value) == len(before)
        told.append((slot, same_size, _difference(before, value) if same_size else value))
        before = value
    return told


def _from_differences(told: Sequence[tuple[int, bool, bytes]]) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    before = b""
    for slot, is_difference, data in told:
        before = values[slot] = _difference(before, data) if is_difference else data
    return values


def _difference(one: bytes, other: bytes) -> bytes:
    """Bit by bit; it undoes itself."""
    return (np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).tobytes()


async def read_minute(redis: Redis, first_slot: int, shards: Sequence[int]) -> Block:
    """The block of a minute, as long as Redis keeps its frames (redis_keys.FRAME_TTL_S)."""
    slots = range(first_slot, first_slot + BLOCK_SLOTS)
    pipe = redis.pipeline(transaction=False)
    for key in (keys.market_frame, keys.market_signals, keys.market_readings):
        pipe.mget([key(slot) for slot in slots])
    for shard in shards:
        pipe.hmget(keys.shard_head(shard), ["skipped", "held"])
    answers: list[Any] = await pipe.execute()
    tables = [
        {slot: data for slot, data in zip(slots, found, strict=True) if data is not None}
        for found in answers[:3]
    ]
    skipped, held = (
        {
            shard: ranges
            for shard, head in zip(shards, answers[3:], strict=True)
            if (ranges := decode_skipped(head[which] or b""))
        }
        for which in (0, 1)
    )
    return Block(first_slot, tables[0], tables[1], tables[2], skipped, held)
