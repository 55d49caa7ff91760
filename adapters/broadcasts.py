"""One subscription to Redis for a whole process, fanned out to whoever listens to a channel.

What is published while Redis is away is lost, so each (re)subscription of a channel is told:
whoever needs every message reads the record again then. Callbacks run in the reading task and
must be quick. caught_up() makes it sound to keep in memory what others may change: Redis answers
a ping of the subscription after everything that it has published on it before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from adapters.errors import RedisAway
from adapters.redis_client import AWAY, PubSub, Redis

log = logging.getLogger(__name__)

READ_S = 1.0
"""A read waits so long, below the socket's timeout, and starts again."""
PAUSE_S = 0.5
"""Between tries to reach a Redis that is away (each try already lasts some seconds)."""
PATIENCE_S = 5.0
"""How long caught_up() waits for an answer."""
PACE_MIN_S = 0.0005
PACE_MAX_S = 0.004
PACE_PER_CALLER_S = 0.00006
"""Between two pings: whoever asks meanwhile shares the next one. A ping costs more than a request,
so the more callers the last one had, the more may gather for the next."""

OnMessage = Callable[[str, bytes], None]
OnSubscribed = Callable[[str], None]


class Broadcasts:
    """Channels that this process listens to. run() does the listening."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[str, list[tuple[OnMessage, OnSubscribed]]] = {}
        self._pubsub: PubSub | None = None
        self._subscribed = False
        self._next: _Waiting | None = None
        self._asked: _Waiting | None = None
        """Those whose ping is under way."""
        self._ping = 0
        """The number of the newest ping."""
        self._pinged_at = 0.0
        self._pace_s = PACE_MIN_S
        self._pinging: asyncio.Task[None] | None = None

    def listen(self, channel: str, on_message: OnMessage, on_subscribed: OnSubscribed) -> None:
        """Listens to a channel once run() runs; any number may listen to one."""
        self._listeners.setdefault(channel, []).append((on_message, on_subscribed))

    async def subscribe(
        self, channel: str, on_message: OnMessage, on_subscribed: OnSubscribed
    ) -> None:
        """Listens to a channel from now on; on_subscribed says when it has begun."""
        self.listen(channel, on_message, on_subscribed)
        await self._tell("subscribe", [channel])

    async def unsubscribe(self, channel: str) -> None:
        """Nobody listens to it any longer."""
        self._listeners.pop(channel, None)
        await self._tell("unsubscribe", [channel])

    async def caught_up(self) -> None:
        """Returns when everything that was published before this call has been taken in.

        Calls at the same time share a round trip.

        Raises:
            RedisAway: there is no subscription, or it does not answer in PATIENCE_S.
        """
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expect_pong().futures.append(told)
        await told

    async def run(self) -> None:
        """Listens until it is canceled; finds its way back whenever Redis was away."""
        while True:
            pubsub = self._redis.pubsub()
            try:
                self._pubsub = pubsub
                if self._listeners:
                    await pubsub.subscribe(*sorted(self._listeners))
                await self._read(pubsub)
            except AWAY as error:
                log.warning("Redis is away, nothing is heard: %s", error)
            finally:
                self._pubsub, self._subscribed = None, False
                self._give_up()
                await _close(pubsub)
            await asyncio.sleep(PAUSE_S)

    async def _read(self, pubsub: PubSub) -> None:
        while True:
            if not pubsub.subscribed:
                await asyncio.sleep(READ_S)  # nobody wants anything yet
                continue
            message: dict[str, Any] | None = await pubsub.get_message(timeout=READ_S)
            if message is not None:
                self._take(message)
            elif self._asked is not None and self._asked.failed:
                raise ConnectionError("the subscription is silent")
            else:
                self._expect_pong()  # silence may be that of a connection that is dead

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "pong":
            self._on_pong(int(message["data"]))
            return
        channel = message["channel"].decode()
        if kind == "message":
            for on_message, _ in self._listeners.get(channel, ()):
                on_message(channel, message["data"])
        elif kind == "subscribe":
            for _, on_subscribed in self._listeners.get(channel, ()):
                on_subscribed(channel)
            self._subscribed = True
            self._ask_again()

    def _expect_pong(self) -> "_Waiting":
        """Those who are asked for with the next ping."""
        if self._next is None or self._next.failed:
            self._next = _Waiting()
            self._ping_soon()
        return self._next

    def _ping_soon(self) -> None:
        ready = self._subscribed and self._next is not None and self._asked is None
        if ready and (self._pinging is None or self._pinging.done()):
            self._pinging = asyncio.create_task(self._ping_once())
            # the pong may be there before the task has ended
            self._pinging.add_done_callback(lambda _: self._ping_soon())

    async def _ping_once(self) -> None:
        """Asks once for all who wait by now."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(self._pinged_at + self._pace_s - loop.time(), 0.0))
        pubsub = self._pubsub
        if pubsub is None or not self._subscribed:
            return
        self._asked, self._next = self._next, None
        callers = 0 if self._asked is None else len(self._asked.futures)
        self._pace_s = min(max(callers * PACE_PER_CALLER_S, PACE_MIN_S), PACE_MAX_S)
        self._pinged_at = loop.time()
        self._ping += 1
        ping: Callable[[str], Awaitable[Any]] = pubsub.ping
        try:
            await ping(str(self._ping))
        except AWAY as error:
            # The reader meets the same. Nothing is sent until it has subscribed once more: a ping
            # that overtook that would be answered too early.
            self._subscribed = False
            log.debug("the subscription can't be asked: %s", error)

    def _on_pong(self, number: int) -> None:
        if self._asked is not None and number == self._ping:
            self._asked.succeed()
            self._asked = None
            self._ping_soon()

    def _ask_again(self) -> None:
        """After a subscription: the ping under way may have gone down with the one before."""
        if self._asked is not None:
            if self._next is not None:
                self._next.join(self._asked)
            self._next, self._asked = self._asked, None
        self._ping_soon()

    def _give_up(self) -> None:
        for waiting in (self._asked, self._next):
            if waiting is not None:
                waiting.fail()
        self._asked = self._next = None

    async def _tell(self, verb: str, channels: Iterable[str]) -> None:
        names = list(channels)
        if self._pubsub is None or not names:
            return
        try:
            await getattr(self._pubsub, verb)(*names)
        except AWAY as error:
            # The reader meets the same and subscribes to everything wanted when Redis is back.
            log.warning("Redis is away, %s waits: %s", verb, error)


class _Waiting:
    """Callers who wait for one pong, all for as long as the first of them may."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[None]] = []
        self.failed = False
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self.fail)

    def succeed(self) -> None:
        """Everybody is told."""
        self._timer.cancel()
        for told in self.futures:
            if not told.done():
                told.set_result(None)

    def fail(self) -> None:
        """Everybody hears that Redis is away."""
        self._timer.cancel()
        self.failed = True
        for told in self.futures:
            if not told.done():
                told.set_exception(RedisAway("Redis does not answer: nothing is heard of it"))

    def join(self, others: "_Waiting") -> None:
        """These wait with others from now on."""
        self._timer.cancel()
        others.futures += self.futures


async def _close(pubsub: PubSub) -> None:
    close: Callable[[], Awaitable[None]] = pubsub.aclose
    try:
        await close()
    except AWAY as error:
        log.debug("closing a lost subscription: %s", error)
