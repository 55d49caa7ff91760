"""When Pyth may be asked: so often in ten seconds, and not at all for a minute after a refusal.

Both are kept in Redis beside the lease on the stream. Whoever takes it over has mostly the same
address and always the same key: it goes on counting where its predecessor was, and waits for the
end of a ban that it has not seen itself. Another key has nothing to do with the refusals of this.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from adapters.redis_client import AWAY

REQUESTS_MAX: Final = 8
"""The service allows ten requests in ten seconds; two are left for whoever else is here."""
REQUESTS_WINDOW_S: Final = 10.0
BANNED_S: Final = 60.0
"""What a 429 costs, and how long a refused key is left alone."""

log = logging.getLogger(__name__)


class AskedLately(msgspec.Struct, frozen=True):
    """The last requests made with a key, and until when no other is to be: Unix seconds."""

    asked_at: tuple[float, ...] = ()
    not_before: float = 0.0


class RequestMemory(Protocol):
    """Where one process finds what another has asked lately. owner: a digest of the key."""

    async def asked_lately(self, owner: str) -> AskedLately | None:
        """None where nobody has for some time."""

    async def know_asked(self, owner: str, lately: AskedLately) -> None:
        """Keeps it for as long as it matters."""


class PythRequests:
    """The turns of one process. clock: Unix seconds of Redis."""

    def __init__(
        self, api_key: str, clock: Callable[[], float], memory: RequestMemory | None
    ) -> None:
        self.owner = sha256(api_key.encode()).hexdigest()[:16]
        self._clock = clock
        self._memory = memory
        self._recalling = asyncio.Lock()
        self._has_recalled = memory is None
        # By the clock of the event loop, which never jumps.
        self._asked: deque[float] = deque(maxlen=REQUESTS_MAX)
        self._not_before = 0.0

    async def banned_s(self) -> float:
        """How long nothing is to be asked because of a refusal, of this process or another."""
        await self._recall()
        return max(self._not_before - asyncio.get_running_loop().time(), 0.0)

    async def turn(self) -> None:
        """Waits until one more request is within what the service allows, and counts it. A refusal
        of one, list or stream, holds back the others too: asked again meanwhile, the service
        refuses for longer.
        """
        await self._recall()
        loop = asyncio.get_running_loop()
        while True:
            free_at = self._not_before
            if len(self._asked) == REQUESTS_MAX:
                free_at = max(free_at, self._asked[0] + REQUESTS_WINDOW_S)
            if free_at <= loop.time():
                break
            await asyncio.sleep(free_at - loop.time())
        self._asked.append(loop.time())
        await self._keep()

    async def refused(self) -> None:
        """The service refuses: nothing is to be asked for a while."""
        self._not_before = asyncio.get_running_loop().time() + BANNED_S
        await self._keep()

    async def _recall(self) -> None:
        async with self._recalling:
            if self._has_recalled or self._memory is None:
                return
            try:
                lately = await self._memory.asked_lately(self.owner)
            except AWAY as error:
                log.warning("what was asked of Pyth lately is not known: %s", error)
                lately = None
            self._has_recalled = True
            if lately is None:
                return
            now = asyncio.get_running_loop().time()
            behind = self._clock() - now
            # Of another machine's clock: at most as long as if it had been just now.
            before = [min(at - behind, now) for at in lately.asked_at[-REQUESTS_MAX:]]
            self._asked.extendleft(reversed(before))
            banned_until = min(lately.not_before - behind, now + BANNED_S)
            self._not_before = max(self._not_before, banned_until)

    async def _keep(self) -> None:
        if self._memory is None:
            return
        behind = self._clock() - asyncio.get_running_loop().time()
        asked_at = tuple(at + behind for at in self._asked)
        not_before = self._not_before + behind if self._not_before else 0.0
        try:
            await self._memory.know_asked(self.owner, AskedLately(asked_at, not_before))
        except AWAY as error:
            log.warning("whoever streams next will not know of this request to Pyth: %s", error)
