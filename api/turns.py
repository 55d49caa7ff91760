"""Calls about many agents at once: of one user one after the other, so that nobody takes all the
connections and all the time of a hub with them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from api.errors import Problem

WAITING_MAX = 4
"""Calls of one user, the one that is served among them."""
WAIT_S = 1


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    calls: int = 0


class Turns:
    """Whose turn it is, in one process. Holds nothing of users who wait for nothing."""

    def __init__(self) -> None:
        self._turns: dict[UUID, _Turn] = {}

    @asynccontextmanager
    async def of(self, user_id: UUID) -> AsyncIterator[None]:
        """Inside it is the user's turn. Problem 429 where too many calls of theirs wait already."""
        turn = self._turns.setdefault(user_id, _Turn())
        if turn.calls >= WAITING_MAX:
            wait = {"Retry-After": str(WAIT_S)}
            text = f"more than {WAITING_MAX} calls about many agents at once, try again later"
            raise Problem(429, text, headers=wait)
        turn.calls += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.calls -= 1
            if not turn.calls:
                del self._turns[user_id]

    def __len__(self) -> int:
        return len(self._turns)
