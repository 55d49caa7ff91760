"""Plans: (symbol, timeframe, strategy and its version, parameters) as one small number.

Numbers are indices into arrays of prices and signals, so they start at 1 and have no gaps.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adapters.db import models
from adapters.db.connection import Connection, Database, connection, orm, transaction
from adapters.db.errors import TooManyPlans

_PLAN_LOCK = 0x41525502
"""Advisory lock under which a plan gets its number: a lost race would burn one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one signal is computed from. key is the canonical JSON of the rest."""

    id: int
    key: str
    symbol: str
    timeframe: str
    strategy: str
    version: int
    params: Mapping[str, Any]


async def intern_plan(
    database: Database,
    key: str,
    symbol: str,
    timeframe: str,
    strategy: str,
    version: int,
    params: Mapping[str, Any],
    *,
    made_by: UUID | None = None,
    quota: int = 0,
) -> int:
    """The number of a plan, the same for the same key for ever; a new one where there is none.

    made_by: the account that wishes it; quota: how many plans it may make in all where no operator
    has set another number, 0: any. A plan that is there already counts for nobody.

    Raises:
        TooManyPlans: it would be a new one, and the account has made as many as it may.
    """
    find = "SELECT id FROM plans WHERE key = $1"
    async with connection(database) as con:
        known = await con.fetchval(find, key)
    if known is not None:
        return int(known)
    async with transaction(database) as con:
        await con.execute("SELECT pg_advisory_xact_lock($1)", _PLAN_LOCK)
        known = await con.fetchval(find, key)
        if known is None:
            if made_by is not None:
                await _check_quota(con, made_by, quota)
            known = await con.fetchval(
                "INSERT INTO plans (id, key, symbol, timeframe, strategy, version, params, made_by)"
                " SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5, $6::jsonb, $7 FROM plans"
                " RETURNING id",
                key,
                symbol,
                timeframe,
                strategy,
                version,
                json.dumps(dict(params)),
                made_by,
            )
    return int(known)


async def _check_quota(con: Connection, made_by: UUID, default: int) -> None:
    own = await con.fetchval("SELECT plans_quota FROM users WHERE id = $1", made_by)
    quota = default if own is None else int(own)
    if quota:
        made = await con.fetchval("SELECT count(*) FROM plans WHERE made_by = $1", made_by)
        if made >= quota:
            raise TooManyPlans(quota)


async def plans_of(database: Database, ids: Iterable[int]) -> dict[int, Plan]:
    """The plans of these numbers; unknown numbers are left out."""
    async with orm(database):
        found = await models.Plan.filter(id__in=list(ids))
    return {plan.id: _plan(plan) for plan in found}


def _plan(plan: models.Plan) -> Plan:
    return Plan(
        id=plan.id,
        key=plan.key,
        symbol=plan.symbol,
        timeframe=plan.timeframe,
        strategy=plan.strategy,
        version=plan.version,
        params=plan.params,
    )
