"""How many requests a user may make to this process: one number for each user, no round trip.

The number is the moment at which the user's allowance would be whole again. A request moves it
on by its share of a minute; a minute ahead of now is the end. Each hub process counts for
itself, so that the limit works without Redis and costs microseconds.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

PERIOD_S = 60.0
USERS_MAX = 100_000
"""Users that are remembered; whoever was not heard of for longest is forgotten, and forgiven."""


class RequestLimit:
    """The allowances of the users of one process. A limit of 0 is none."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._whole_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait_s(self, user: Hashable) -> int:
        """0 when the request may be served, which counts it; else whole seconds to wait."""
        if not self.per_minute:
            return 0
        now = self._clock()
        share_s = PERIOD_S / self.per_minute
        whole_at = max(self._whole_at.get(user, now), now) + share_s
        over_s = whole_at - now - PERIOD_S
        if over_s > share_s / 2:  # the last of a burst may stand over by roundings
            return max(math.ceil(over_s), 1)
        self._whole_at[user] = whole_at
        self._whole_at.move_to_end(user)
        if len(self._whole_at) > USERS_MAX:
            self._whole_at.popitem(last=False)
        return 0

    def __len__(self) -> int:
        return len(self._whole_at)
