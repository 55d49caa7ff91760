"""In a pool that is being upgraded this version does to a shard of schema 1, bit by bit, what the
version before did: it makes no difference which of them ticks it.
"""

import pytest

from engine.rows import Rows
from engine.schemas import rows_to_bytes
from engine.tick import Outcome, SlotInputs, advance
from tests.golden.schema_1 import digest
from workers.row_schema import outcome_in

OF_THE_VERSION_BEFORE = {
    0: "d003a9cdaa0963dacb996aff17c74547",
    1: "410c7746a438b1f5d9ef49157ee89beb",
    2: "bee4d9b638d5f106778e8f5fe0586c8d",
}
"""Worked out with the last version that knew schema 1 only."""


def as_a_worker_keeps_it(rows: Rows, inputs: SlotInputs) -> Outcome:
    return outcome_in(advance(rows, inputs), 1)


@pytest.mark.parametrize("seed", OF_THE_VERSION_BEFORE)
def test_a_shard_of_schema_1_goes_on_as_it_did(seed: int) -> None:
    made = digest(seed, as_a_worker_keeps_it, lambda rows: rows_to_bytes(rows, 1))
    assert made == OF_THE_VERSION_BEFORE[seed]
