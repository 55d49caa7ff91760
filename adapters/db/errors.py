"""What the record may refuse, as types that callers act on.

DatabaseError
├── DatabaseAway          the server does not answer, or the connection broke: unknown outcome
│   └── DatabaseBusy      it answered that we must wait: a lock or a statement took too long
├── DatabaseRefused       it answers, but not to us: password, database name or rights
├── DatabaseUrlError      the URL itself is wrong (never quotes its password)
├── MigrationFailed       a migration could not be applied; nothing of it was kept
├── EmailTaken            another account has this e-mail address
├── NoSuchUser            a new agent names an account that does not exist
├── NoSuchPlan            a new agent names a plan that was never interned
├── TooManyPlans          an account has made as many plans as it may
├── NoSuchShard           the record knows no shard of this number
├── BadCursor             a page cursor that this code did not hand out
├── LedgerConflict        an event contradicts what is stored (freezes its shard, stays inside)
└── Unstorable            one event cannot be written down exactly (goes to quarantine, inside)
"""

from adapters.errors import AdapterError


class DatabaseError(AdapterError):
    """Root of everything that the record may refuse."""


class DatabaseAway(DatabaseError):
    """PostgreSQL does not answer; whether the last write landed is unknown."""


class DatabaseBusy(DatabaseAway):
    """PostgreSQL made us wait too long, or broke a deadlock: nothing was written, try again."""


class DatabaseRefused(DatabaseError):
    """PostgreSQL answers, but refuses this user, password or database."""


class DatabaseUrlError(DatabaseError, ValueError):
    """The database URL cannot be used."""


class MigrationFailed(DatabaseError):
    """A migration failed and was rolled back."""


class EmailTaken(DatabaseError):
    """Another account has this e-mail address."""


class NoSuchUser(DatabaseError):
    """The owner of a new agent does not exist."""


class NoSuchPlan(DatabaseError):
    """The plan of a new agent does not exist."""


class TooManyPlans(DatabaseError):
    """The account has made as many plans as it may: so many."""

    def __init__(self, quota: int) -> None:
        super().__init__(f"the account may make {quota} plans")
        self.quota = quota


class TooManyAgents(DatabaseError):
    """The account has as many agents as it may: so many."""

    def __init__(self, quota: int) -> None:
        super().__init__(f"the account may have {quota} agents")
        self.quota = quota


class NoSuchShard(DatabaseError):
    """The record knows no shard of this number."""


class BadCursor(DatabaseError, ValueError):
    """The cursor of a page is none of ours."""


class LedgerConflict(DatabaseError):
    """An event contradicts what is stored, or numbers are missing before it."""


class Unstorable(DatabaseError):
    """An event cannot be written down exactly as it is."""
