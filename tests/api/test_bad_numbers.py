"""Every number and word of the create body, each with every wrong kind of value, by its type."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from api.agent_bodies import CreateAgent
from api.risk_params import RiskParams
from tests.api.conftest import Account
from tests.api.refused import GOOD

OUT_OF_RANGE = ("1e400", "-1e400", "9" * 400, "1e99999999999")
NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
KINDS = {"true": "true or false", '"1"': "a string", "[]": "a list", "{}": "an object"}
WORDS = {int: "a whole number", float: "a number"}


def kinds_of(wanted: Any) -> set[Any]:
    """The plain types that a field's type stands for."""
    inner = [kind for each in get_args(wanted) for kind in kinds_of(each)]
    return {wanted} if isinstance(wanted, type) else set(inner)


def numbers() -> Iterator[tuple[str, str, Any]]:
    """(field, the body around its value, what it may be) of all numbers there are."""
    for body, around in ((CreateAgent, "{{{}}}"), (RiskParams, '{{"risk_params": {{{}}}}}')):
        for field in msgspec.structs.fields(body):
            kinds = kinds_of(field.type)
            if kinds & {int, float}:
                name = field.encode_name
                where = f"risk_params.{name}" if body is RiskParams else name
                yield where, around.format(f'"{name}": VALUE'), kinds


NUMBERS = list(numbers())


def test_all_numbers_are_here() -> None:
    fields = {field for field, _, _ in NUMBERS}
    assert {"interval_seconds", "risk_params.leverage", "risk_params.fee_bps"} <= fields
    assert len(fields) >= 7


async def test_no_number_takes_what_is_none(alice: Account) -> None:
    for field, around, kinds in NUMBERS:
        word = WORDS[float if float in kinds else int]
        if type(None) in kinds:
            word += " or null"
        for value in (*NO_NUMBERS, *OUT_OF_RANGE):
            answer = await send(alice, around, value)
            wanted = "is not a JSON number" if value in NO_NUMBERS else "is out of range"
            assert answer[0] == 400, (field, value)
            assert str(answer[1]).endswith(wanted), (field, value, answer)
        for value, got in KINDS.items():
            answer = await send(alice, around, value)
            assert answer == (422, [(field, f"expected {word}, got {got}")]), (field, value)
        if type(None) not in kinds:
            answer = await send(alice, around, "null")
            assert answer == (422, [(field, f"expected {word}, got null")]), field
        for value in ("1e300", "-1e300", "9" * 290, "-1"):
            status, says = await send(alice, around, value)
            assert status == 422, (field, value)
            assert [name for name, _ in says] == [field], (field, value)


async def test_a_whole_number_may_be_written_as_any_json_number(alice: Account) -> None:
    for whole in ("2", "2.0", "2e0", "20e-1", "0.2E+1"):
        assert await kept(alice, whole) == (2, 2, 2)


async def kept(account: Account, whole: str) -> tuple[int, int, int]:
    """An agent's three whole numbers, when they were all written so."""
    body = f'{{"symbol": "BTC", "strategy_name": "breakout", "interval_seconds": {whole}, '
    body += f'"strategy_params": {{"lookback": {whole}}}, "risk_params": {{"leverage": {whole}}}}}'
    headers = {"Content-Type": "application/json"}
    made = (await account.http.post("/api/agents", content=body, headers=headers)).json()
    risk, params = made["risk_params"], made["strategy_params"]
    return made["interval_seconds"], risk["leverage"], params["lookback"]


async def send(account: Account, around: str, value: str) -> tuple[int, Any]:
    """(status, what it says) of a create body with this value."""
    good = ", ".join(f'"{name}": "{text}"' for name, text in GOOD.items())
    body = f"{{{good}, {around[1:].replace('VALUE', value)}"
    headers = {"Content-Type": "application/json"}
    answer = await account.http.post("/api/agents", content=body, headers=headers)
    problem = answer.json()
    errors = [(error["field"], error["message"]) for error in problem.get("errors", ())]
    return answer.status_code, errors or problem["detail"]
