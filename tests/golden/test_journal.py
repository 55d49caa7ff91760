"""The engine does today what it did when the journal was written, to the last bit of every row.

A difference here means that a pool which is upgraded in the middle of a position goes on otherwise
than it began. Where that is meant: tests/golden/record.py.
"""

from engine.rows import Reason, empty_rows
from engine.tick import advance
from tests.golden.journal import ROWS, read, told

KINDS = (
    "created started edited stopped deleted opened closed stale fresh failed"
    " cannot_run can_run halted reducing resumed moving"
)
NEVER_HERE = {Reason.NONE, Reason.SUPERVISOR}


def test_recorded_inputs_give_recorded_outcomes() -> None:
    rows = empty_rows(ROWS)
    for inputs, recorded in read():
        outcome = advance(rows, inputs)
        rows = outcome.rows
        assert told(outcome) == recorded, f"slot {inputs.slot}"


def test_the_journal_has_something_of_everything() -> None:
    events = [event for _, recorded in read() for event in recorded["events"]]
    kinds = {event[0] for event in events}
    assert kinds == set(KINDS.split())
    reasons = {Reason(event[3]) for event in events}
    assert reasons >= set(Reason) - NEVER_HERE
