"""An event that the journal lacks is found, and so is an opening that is no trade."""

from uuid import UUID, uuid5

import numpy as np

from bench.stored import missing_events, missing_trades
from engine.rows import Rows, empty_rows

ONE, TWO = UUID(int=1), UUID(int=2)


def rows(*agents: tuple[UUID, int]) -> Rows:
    table = empty_rows(len(agents))
    for row, (agent, seq) in zip(table, agents, strict=True):
        row["agent_id"], row["seq"] = np.void(agent.bytes), seq
    return table


def entries(*events: tuple[UUID, int]) -> Rows:
    listed = [(np.void(agent.bytes), seq) for agent, seq in events]
    return np.array(listed, [("agent", "V16"), ("seq", ">i8")])


def test_every_event_up_to_the_rows_number_has_to_be_there() -> None:
    told = rows((TWO, 4), (ONE, 2))
    later = (ONE, 3)  # happened after the rows were read
    assert missing_events(told, entries((TWO, 3), (TWO, 4), later), seeded_seq=2) == 0
    assert missing_events(told, entries((TWO, 4), later), seeded_seq=2) == 1
    assert missing_events(told, entries(), seeded_seq=2) == 1
    assert missing_events(rows((ONE, 2)), entries(), seeded_seq=2) == 0


def test_an_opening_is_the_trade_that_is_named_after_it() -> None:
    trades = np.array([(np.void(uuid5(ONE, "3").bytes),)], [("id", "V16")])
    assert missing_trades(entries((ONE, 3)), trades) == 0
    assert missing_trades(entries((ONE, 3), (TWO, 3)), trades) == 1
