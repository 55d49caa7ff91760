"""Blocks of the archive: what went in comes out, and what is no block is said."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import redis_keys as keys
from adapters.market_archive import (
    BLOCK_SLOTS,
    Block,
    BrokenBlock,
    decode_block,
    encode_block,
    read_minute,
)
from adapters.redis_client import command, open_redis
from adapters.shard_records import encode_skipped
from engine.schedule import SkippedRange

_BY_SLOT = st.dictionaries(st.integers(0, 59), st.binary(max_size=40), max_size=12)
_RANGES = st.lists(
    st.builds(SkippedRange, st.integers(0, 9), st.integers(9, 99), st.booleans()), max_size=3
).map(tuple)


@given(
    frames=_BY_SLOT,
    signals=_BY_SLOT,
    readings=_BY_SLOT,
    skipped=st.dictionaries(st.integers(0, 300), _RANGES, max_size=3),
    held=st.dictionaries(st.integers(0, 300), _RANGES, max_size=3),
)
def test_a_block_comes_back_as_it_was(
    frames: dict[int, bytes],
    signals: dict[int, bytes],
    readings: dict[int, bytes],
    skipped: dict[int, tuple[SkippedRange, ...]],
    held: dict[int, tuple[SkippedRange, ...]],
) -> None:
    block = Block(120, frames, signals, readings, skipped, held)
    assert decode_block(encode_block(block)) == block


def test_frames_that_differ_in_a_few_bytes_take_little_room() -> None:
    frame = bytes(range(256)) * 80
    frames = {slot: frame[:100] + bytes([slot]) + frame[101:] for slot in range(BLOCK_SLOTS)}
    size = len(encode_block(Block(0, frames, {}, {}, {})))
    assert size < len(frame) * BLOCK_SLOTS / 50


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no block",
        zlib.compress(b"\xc1"),
        zlib.compress(msgspec.msgpack.encode([1, 2])),
        zlib.compress(msgspec.msgpack.encode([99, 0, [], [], [], {}])),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BrokenBlock):
        decode_block(data)


async def test_a_minute_is_read_as_redis_keeps_it(redis_url: str) -> None:
    redis = open_redis(redis_url)
    try:
        await redis.set(keys.market_frame(60), b"frame of 60")
        await redis.set(keys.market_frame(119), b"frame of 119")
        await redis.set(keys.market_frame(120), b"of the next minute")
        await redis.set(keys.market_signals(60), b"signals of 60")
        await redis.set(keys.market_readings(61), b"readings of 61")
        away = (SkippedRange(61, 70, False),)
        await command(redis, "HSET", keys.shard_head(3), "skipped", encode_skipped(away))
        await command(redis, "HSET", keys.shard_head(4), "skipped", b"")
        await command(redis, "HSET", keys.shard_head(5), "held", encode_skipped(away))
        block = await read_minute(redis, 60, [3, 4, 5])
    finally:
        await redis.aclose()
    frames = {60: b"frame of 60", 119: b"frame of 119"}
    signals, readings = {60: b"signals of 60"}, {61: b"readings of 61"}
    assert block == Block(60, frames, signals, readings, {3: away}, {5: away})
