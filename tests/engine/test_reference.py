"""The engine does to a table what the scalar reference does to each agent alone, number for number.

Further down: what must hold of any life of any agent, whatever the rules say in detail.
"""

import math
from decimal import Decimal
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine import schedule
from engine.commands import Command, Wanted, decode_command, encode_command
from engine.events import Event, decode_event, encode_event
from engine.rounding import round_down as engine_round_down
from engine.rounding import round_price as engine_round_price
from engine.rounding import round_usd as engine_round_usd
from engine.rows import Reason, empty_rows, rows_from_bytes
from engine.tick import SlotInputs, advance
from tests.engine.reference_agent import floor_quantity, round_price, round_usd
from tests.engine.scenarios import ROWS, Scenario, scenarios
from tests.engine.side_by_side import SideBySide, call

LIVES = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def played(scenario: Scenario) -> SideBySide:
    """The scenario played side by side, with few enough ranges in the head that they are folded."""
    with patch.object(schedule, "RANGES_MAX", 4):
        both = SideBySide(scenario)
        both.play()
    return both


@given(scenarios())
@settings(LIVES, max_examples=150)
def test_engine_and_reference_agree(scenario: Scenario) -> None:
    for said in played(scenario).events:
        reason = Reason(said.reason).name if said.reason else ""
        event(f"{said.kind} {reason}".rstrip())
