"""The fleets of the benches ask for nothing that the catalogue refuses, whatever it holds."""

import pytest

from bench.seeding import plan_parts
from bench.trading_fleet import STYLES, agent_body
from strategies import catalog


@pytest.mark.parametrize("recorded", [True, False])
def test_every_agent_of_the_fleet_can_be_made(recorded: bool) -> None:
    fleet = len(STYLES) * len(catalog.STRATEGIES)
    made = set()
    for number in range(fleet):
        body = agent_body(number, recorded)
        catalog.snap_params(body["strategy_name"], body["strategy_params"])
        made.add((body["name"].split(f" {number}")[0], body["strategy_name"]))
    assert len(made) == fleet, "each strategy in each style"


def test_a_thousand_plans_are_a_thousand_plans() -> None:
    plans = {str(plan_parts(place)) for place in range(1_500)}
    assert len(plans) == 1_500
