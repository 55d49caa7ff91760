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
    seconds, microseconds = await command(redis, "TIME")
    assert abs(clock.now() - (seconds + microseconds / 1e6)) < 0.1
    assert abs(skew) < 0.1
    assert clock.skew_s == skew
    assert 0 < clock.round_trip_s < 1
    assert clock.slot() in {int(seconds), int(seconds) + 1}
    await redis.aclose()


async def test_a_wall_clock_that_is_wrong_is_said_and_moves_nothing(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis = open_redis(redis_url)
    clock = RedisClock(redis, wall=lambda: time.time() - 2.0)
    with caplog.at_level(logging.WARNING):
        skew = await clock.refresh()
    assert -2.1 < skew < -1.9
    assert "behind that of Redis" in caplog.text
    assert abs(clock.now() - time.time()) < 0.1
    await redis.aclose()
