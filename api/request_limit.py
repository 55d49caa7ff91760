"""How many requests a user may make, over all hub processes: one number each, no round trip.

The number is the moment at which the user's allowance would be whole again. A request moves it
on by its share of a minute; a minute ahead of now is the end. A hub decides by what it knows and
shares what it has counted a few times a second, so that without Redis the limit still holds for
each hub by itself. What a user can win by asking many hubs at once is what those serve in
SHARE_EVERY_S, and a hundredth of the allowance for each.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from adapters.errors import RedisAway

log = logging.getLogger(__name__)

PERIOD_S = 60.0
USERS_MAX = 100_000
"""Users that are remembered; whoever was not heard of for longest is forgotten, and forgiven."""
SHARE_EVERY_S = 0.25
SHARED_PART = 100
"""A hub shares a user's requests once they are this part of the allowance: most users cost Redis
nothing."""


class SharedAllowances(Protocol):
    """What is asked of adapters.allowances."""

    async def use(self, used_s: Mapping[str, float]) -> dict[str, float]: ...


class _Allowance:
    """One user's: when it is whole again (clock), and requests that were not shared yet."""

    __slots__ = ("unshared", "whole_at")

    def __init__(self) -> None:
        self.whole_at = 0.0
        self.unshared = 0


class RequestLimit:
    """The allowances of users, or of addresses, as one process knows them. 0: no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self.own: Mapping[str, int] = {}
        """Of users who have another number than the rest."""
        self._clock = clock
        self._users: OrderedDict[str, _Allowance] = OrderedDict()
        self._to_share: set[str] = set()

    def wait_s(self, user: str) -> int:
        """0 when the request may be served, which counts it; else whole seconds to wait."""
        per_minute = self.own.get(user, self.per_minute)
        if not per_minute:
            return 0
        now = self._clock()
        share_s = PERIOD_S / per_minute
        allowance = self._users.get(user)
        if allowance is None:
            allowance = self._users[user] = _Allowance()
            if len(self._users) > USERS_MAX:
                forgotten, _ = self._users.popitem(last=False)
                self._to_share.discard(forgotten)
        else:
            self._users.move_to_end(user)
        whole_at = max(allowance.whole_at, now) + share_s
        over_s = whole_at - now - PERIOD_S
        if over_s > share_s / 2:  # the last of a burst may stand over by roundings
            return max(math.ceil(over_s), 1)
        allowance.whole_at = whole_at
        allowance.unshared += 1
        if allowance.unshared * SHARED_PART >= per_minute:
            self._to_share.add(user)
        return 0

    def per_minute_of(self, user: str) -> int:
        """What the user's limit is; 0: none."""
        return self.own.get(user, self.per_minute)

    async def share(self, shared: SharedAllowances) -> None:
        """Tells the other hubs of requests that this one has served, and learns of theirs.

        Raises:
            RedisAway: the requests stay to be told.
        """
        sharing = {user: self._users[user] for user in self._to_share}
        told = {user: allowance.unshared for user, allowance in sharing.items()}
        if not told:
            return
        share_s = {user: PERIOD_S / max(self.per_minute_of(user), 1) for user in told}
        behind_s = await shared.use({user: share_s[user] * count for user, count in told.items()})
        now = self._clock()
        for user, count in told.items():
            allowance = sharing[user]
            allowance.unshared -= count
            if self._users.get(user) is not allowance:
                continue  # forgotten meanwhile; one that came back begins anew
            per_minute = self.per_minute_of(user)
            if not per_minute or allowance.unshared * SHARED_PART < per_minute:
                self._to_share.discard(user)
            known_at = now + behind_s[user] + share_s[user] * allowance.unshared
            allowance.whole_at = max(allowance.whole_at, known_at)

    async def keep_sharing(self, shared: SharedAllowances) -> None:
        """Shares until it is canceled."""
        was_away = False
        while True:
            await asyncio.sleep(SHARE_EVERY_S)
            try:
                await self.share(shared)
            except RedisAway as error:
                if not was_away:
                    log.warning("each hub counts requests for itself meanwhile: %s", error)
                was_away = True
            else:
                was_away = False

    def __len__(self) -> int:
        return len(self._users)
