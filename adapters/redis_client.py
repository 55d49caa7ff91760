"""The one place that opens Redis connections and loads Lua scripts.

Answers are bytes. A blip of the server is retried for about three seconds, and a server that hangs
is given up after five; what lasts longer reaches the caller as RedisAway, who answers 503, skips a
beat or lets the supervisor restart it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.errors import RedisAway
from adapters.redis_connections import cancelable
from adapters.redis_pool import QuickPool

AWAY = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError)
"""What a Redis that is down, starting or unreachable raises."""
BLIPS: list[type[Exception]] = [RedisConnectionError, BusyLoadingError]
"""Of these, what is tried again."""

__all__ = [
    "AWAY",
    "BLIPS",
    "NoScriptError",
    "PubSub",
    "Redis",
    "RedisError",
    "Script",
    "away_as_error",
    "command",
    "connection_pool",
    "open_redis",
    "retry_policy",
    "script",
]

Script = Callable[..., Awaitable[Any]]
"""A loaded script: await it with keys=[...] and args=[...], inside a pipeline with client=."""


def retry_policy() -> Retry:
    """Nine tries over about three seconds for a server that can't be reached.

    One that hangs is not asked again: whoever waits has waited five seconds already, and nine times
    that would be a minute.
    """
    return Retry(ExponentialBackoff(cap=0.5, base=0.05), 9, (RedisConnectionError,))


def open_redis(
    url: str, *, max_connections: int = 64, timeout_s: float = 5.0, retries: bool = True
) -> Redis:
    """A client with a bounded pool; who finds it full waits for a place.

    Nothing is connected until the first command. retries: whether a blip is hidden; not for a
    subscription, which has to know that it has missed something.

    Raises:
        ValueError: the URL is none that redis-py knows (redis://, rediss://, unix://).
    """
    return Redis.from_pool(
        connection_pool(url, max_connections=max_connections, timeout_s=timeout_s, retries=retries)
    )


def connection_pool(
    url: str, *, max_connections: int, timeout_s: float = 5.0, retries: bool = True
) -> QuickPool:
    """The connections of one client; arq's are made here, too.

    Raises:
        ValueError: the URL is none that redis-py knows.
    """
    pool: QuickPool = QuickPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=retry_policy() if retries else None,
        retry_on_error=BLIPS if retries else [],
    )
    pool.connection_class = cancelable(pool.connection_class)
    return pool


async def command(client: Redis, *words: Any) -> Any:
    """Sends one command and returns its answer; redis-py's own methods are half typed."""
    send: Callable[..., Awaitable[Any]] = client.execute_command
    return await send(*words)


def script(client: Redis, name: str) -> Script:
    """Registers adapters/scripts/<name>.lua; it is loaded again by itself after a restart."""
    text = (files("adapters") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")
    registered: Script = client.register_script(text)
    return registered


@asynccontextmanager
async def away_as_error() -> AsyncIterator[None]:
    """Turns every way in which Redis may be away into RedisAway."""
    try:
        yield
    except AWAY as error:
        raise RedisAway(f"Redis does not answer: {error}") from error
