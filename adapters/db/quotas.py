"""What an account may have: its own quotas where an operator has set them, else the defaults.

Numbers are counted in the transaction that adds to them, under the account's lock, so that calls at
the same time, of whichever hub, get no more between them.
"""

from dataclasses import dataclass
from uuid import UUID

from adapters.db.connection import Connection, Database, connection

OWN_REQUEST_QUOTAS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an operator has set for an account; None: the default, 0: no limit."""

    agents: int | None = None
    plans: int | None = None
    requests_per_minute: int | None = None


DEFAULTS = Quotas()
"""What an account has that no operator has given another number."""


async def quotas_of(database: Database, user_id: UUID) -> Quotas | None:
    """None where there is no such account."""
    async with connection(database) as con:
        found = await con.fetchrow(
            "SELECT agents_quota, plans_quota, requests_quota FROM users WHERE id = $1", user_id
        )
    return None if found is None else Quotas(*found)


async def set_quotas(database: Database, user_id: UUID, quotas: Quotas) -> bool:
    """False where there is no such account. What an account has above a quota stays."""
    async with connection(database) as con:
        found = await con.fetchval(
            "UPDATE users SET agents_quota = $2, plans_quota = $3, requests_quota = $4"
            " WHERE id = $1 RETURNING true",
            user_id,
            quotas.agents,
            quotas.plans,
            quotas.requests_per_minute,
        )
    return bool(found)


async def request_quotas(database: Database) -> dict[str, int]:
    """The requests a minute of the accounts that have a number of their own, by id as text."""
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT id, requests_quota FROM users WHERE requests_quota IS NOT NULL LIMIT $1",
            OWN_REQUEST_QUOTAS_MAX,
        )
    return {str(row["id"]): row["requests_quota"] for row in found}


async def agents_quota(con: Connection, user_id: UUID, default: int) -> int:
    """How many agents the account may have, 0: any number."""
    found = await con.fetchval("SELECT agents_quota FROM users WHERE id = $1", user_id)
    return default if found is None else int(found)


async def room_for_agents(con: Connection, user_id: UUID, quota: int) -> int:
    """How many more it may have, 0 at least; the account is to be locked. quota above 0.

    No more are counted than it takes to know.
    """
    found = await con.fetchval(
        "SELECT count(*) FROM (SELECT FROM agents WHERE user_id = $1 LIMIT $2) AS had",
        user_id,
        quota,
    )
    return quota - int(found)
