"""The storms find what they are there for: every rule that looks fussy closes a hole."""

from functools import partial

import pytest

from tests.simulation.planted import FAULTS, Fault, planted
from tests.simulation.real_side import RealSide
from tests.simulation.run import run
from tests.simulation.schedule import draw

KNOWN = [fault for fault in FAULTS if fault.found_by is not None]


@pytest.mark.parametrize("fault", KNOWN, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(side: RealSide, fault: Fault) -> None:
    assert fault.found_by is not None
    schedule = draw(fault.found_by)
    assert run(schedule, side, partial(planted, fault=fault)).violation
    assert not run(schedule, side).violation
