"""Who was found to be calling lately, by the very text of the Authorization header.

A token is verified once: what it says never changes, only whether it has expired and whether its
login has ended, which is asked for every request. Bounded; kept in memory only.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

KEPT_MAX = 20_000
HEADER_BYTES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Caller:
    """The user that a request speaks for, and the login that its token descends from.

    An API key descends from none.
    """

    user_id: UUID
    family_id: UUID | None
    user_text: str = field(init=False)
    """user_id, as it stands in every line of the log."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "user_text", str(self.user_id))


class EndedLogins(Protocol):
    """What is asked of api.logins."""

    def has_ended(self, family_id: UUID) -> bool: ...


class Callers:
    """The callers of one process. clock: Unix seconds, as tokens expire by."""

    def __init__(self, logins: EndedLogins, clock: Callable[[], float] = time.time) -> None:
        self._logins = logins
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Caller, UUID, float]] = OrderedDict()

    def find(self, header: bytes) -> Caller | None:
        """The caller of a header that was good before and still is."""
        kept = self._kept.get(header)
        if kept is None:
            return None
        caller, family_id, expires_at = kept
        if self._clock() >= expires_at or self._logins.has_ended(family_id):
            del self._kept[header]
            return None
        return caller

    def keep(self, header: bytes, caller: Caller, family_id: UUID, expires_at: float) -> None:
        """Remembers whom a token speaks for until it expires (Unix seconds).

        Not for a header that is longer than any of ours: spaces around a token are allowed, and
        there are many ways to put them.
        """
        if len(header) > HEADER_BYTES_MAX:
            return
        self._kept[header] = (caller, family_id, expires_at)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)
