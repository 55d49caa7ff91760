"""A plan in four numbers, as planners make them, in the hub's words. Pure.

strategy, lookback and threshold are the agent's strategy and two of its parameters. max_loss_pct is
what one position may lose, as callers of plans have always used it, so it becomes the stop loss;
max_session_loss_usd would stop the agent for good. It is a fraction there (0.02 = 2 %) and per cent
here.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from api.agent_bodies import AgentConfiguration, patched, read_configuration
from api.bodies import Body, Check, walk_fields
from api.errors import FieldError, Problem, bad_input
from api.risk_params import PCT_DECIMALS

FIELD_OF: Mapping[str, str] = {
    "strategy_name": "strategy",
    "strategy_params.lookback": "lookback",
    "strategy_params.threshold": "threshold",
    "risk_params.stop_loss_pct": "max_loss_pct",
}
"""The plan's name for what the hub calls otherwise."""


def _fraction(value: float) -> str | None:
    if 0.000_001 <= value <= 1:
        return None
    return "expected a fraction from 0.000001 to 1: 0.02 is 2 %"


class ApplyPlan(Body, frozen=True, kw_only=True):
    """The body of PUT /api/agents/{id}/plan."""

    not_built = frozenset({"reasoning"})
    checks: ClassVar[Mapping[str, Check]] = {"max_loss_pct": _fraction}

    strategy: Annotated[str, Meta(min_length=1, max_length=64)]
    lookback: int | None = None
    threshold: float | None = None
    max_loss_pct: float | None = None


def patch_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that a plan stands for; what it leaves out is left out there."""
    patch: dict[str, Any] = {}
    if plan.get("strategy") is not None:
        patch["strategy_name"] = plan["strategy"]
    params = {name: plan[name] for name in ("lookback", "threshold") if plan.get(name) is not None}
    if params:
        patch["strategy_params"] = params
    if plan.get("max_loss_pct") is not None:
        patch["risk_params"] = {"stop_loss_pct": stop_loss_pct(plan["max_loss_pct"])}
    return patch


def stop_loss_pct(fraction: float) -> float:
    """0.02 -> 2.0, to the decimals that a stop loss keeps: planners divide without minding them."""
    return float(round(Decimal(repr(fraction)) * 100, PCT_DECIMALS))


def planned_configuration(
    body: Mapping[str, object], value: object, symbols: Collection[str]
) -> AgentConfiguration:
    """An agent's create body with a plan applied, checked as its owner's edit would be.

    Raises:
        Problem: 422 with every bad field, in the words of the plan.
    """
    _, errors = walk_fields(value, ApplyPlan)
    given = value if isinstance(value, dict) else {}
    bad = {error.field for error in errors}
    plan = {name: given[name] for name in ApplyPlan.__struct_fields__ if name in given.keys() - bad}
    try:
        wanted = read_configuration(patched(body, patch_of(plan)), symbols)
    except Problem as problem:
        if problem.status != 422:
            raise
        errors += in_plan_words(problem)
        raise bad_input(errors) from problem
    if errors:
        raise bad_input(errors)
    return wanted


def in_plan_words(problem: Problem) -> list[FieldError]:
    """The errors of a refusal with the names that a plan has for the fields."""
    return [
        FieldError(FIELD_OF.get(error.field, error.field), error.message)
        for error in problem.errors
    ]
