"""One subscription to Redis for a whole process, fanned out by its caller.

What is published while Redis is away is lost, so each (re)subscription of a channel is told:
whoever needs every message reads the record again then. Callbacks run in the reading task and
must be quick.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from adapters.redis_client import AWAY, PubSub, Redis

log = logging.getLogger(__name__)

READ_S = 1.0
"""A read waits so long, below the socket's timeout, and starts again."""
PAUSE_S = 0.5
"""Between tries to reach a Redis that is away (each try already lasts some seconds)."""

OnMessage = Callable[[str, bytes], None]
OnSubscribed = Callable[[str], None]


class Broadcasts:
    """Channels that this process listens to. run() does the listening."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wanted: set[str] = set()
        self._pubsub: PubSub | None = None

    async def subscribe(self, channel: str) -> None:
        """Listens to a channel from now on; on_subscribed says when it has begun."""
        self._wanted.add(channel)
        await self._tell("subscribe", [channel])

    async def unsubscribe(self, channel: str) -> None:
        """Listens to it no longer."""
        self._wanted.discard(channel)
        await self._tell("unsubscribe", [channel])

    async def run(self, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Listens until it is canceled; finds its way back whenever Redis was away."""
        while True:
            pubsub = self._redis.pubsub()
            try:
                self._pubsub = pubsub
                await self._tell("subscribe", sorted(self._wanted))
                await self._read(pubsub, on_message, on_subscribed)
            except AWAY as error:
                log.warning("Redis is away, nothing is streamed: %s", error)
            finally:
                self._pubsub = None
                await _close(pubsub)
            await asyncio.sleep(PAUSE_S)

    async def _read(
        self, pubsub: PubSub, on_message: OnMessage, on_subscribed: OnSubscribed
    ) -> None:
        while True:
            if not pubsub.subscribed:
                await asyncio.sleep(READ_S)  # nobody wants anything yet
                continue
            message: dict[str, Any] | None = await pubsub.get_message(timeout=READ_S)
            if message is None:
                continue
            channel = message["channel"].decode()
            if message["type"] == "message":
                on_message(channel, message["data"])
            elif message["type"] == "subscribe":
                on_subscribed(channel)

    async def _tell(self, verb: str, channels: Iterable[str]) -> None:
        names = list(channels)
        if self._pubsub is None or not names:
            return
        try:
            await getattr(self._pubsub, verb)(*names)
        except AWAY as error:
            # The reader meets the same and subscribes to everything wanted when Redis is back.
            log.warning("Redis is away, %s waits: %s", verb, error)


async def _close(pubsub: PubSub) -> None:
    close: Callable[[], Awaitable[None]] = pubsub.aclose
    try:
        await close()
    except AWAY as error:
        log.debug("closing a lost subscription: %s", error)
