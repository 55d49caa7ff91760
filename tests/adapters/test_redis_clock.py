"""The clock of the pool is that of Redis."""

import logging
import time

import pytest

from adapters.redis_client import command, open_redis
from adapters.redis_clock import RedisClock


async def test_it_tells_the_time_of_redis(redis_url: str) -> None:
    redis = open_redis(redis_url)
    clock = RedisClock(redis)
    skew = await clock.refresh()
    error_s = clock.round_trip_s
    before = clock.now()
    seconds, microseconds = await command(redis, "TIME")
    assert before - error_s <= seconds + microseconds / 1e6 <= clock.now() + error_s
    assert abs(skew) <= error_s
    assert clock.skew_s == skew
    assert 0 < error_s < 1
    assert clock.slot() in {int(seconds), int(seconds) + 1}
    await redis.aclose()


async def test_a_wall_clock_that_is_wrong_is_said_and_moves_nothing(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis = open_redis(redis_url)
    clock = RedisClock(redis, wall=lambda: time.time() - 2.0)
    with caplog.at_level(logging.WARNING):
        skew = await clock.refresh()
    assert abs(skew + 2.0) <= clock.round_trip_s
    assert "behind that of Redis" in caplog.text
    before = time.time()
    assert before - clock.round_trip_s <= clock.now() <= time.time() + clock.round_trip_s
    await redis.aclose()
