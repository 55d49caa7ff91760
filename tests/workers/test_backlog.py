"""Where a worker stops opening positions because the ledger is behind."""

import pytest

from workers import backlog
from workers.backlog import Backlog


@pytest.fixture(autouse=True)
def low_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "ENTRIES_STOP_AT_EVENTS", 50)
    monkeypatch.setattr(backlog, "ENTRIES_STOP_AT_EVENTS_IN_ALL", 100)


def test_a_shard_at_its_bound_opens_nothing_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind = Backlog()
    behind.note({1: 50, 2: 49}, 2)
    assert [behind.entries_open(shard) for shard in (1, 2, 1)] == [False, True, False]
    behind.note({1: 49, 2: 0}, 2)
    assert behind.entries_open(1)
    assert [record.message for record in caplog.records] == [
        "shard 1 opens nothing: its events wait for PostgreSQL",
        "shard 1 opens positions again",
    ]


def test_at_the_bound_of_all_nobody_opens() -> None:
    behind = Backlog()
    behind.note({1: 40, 2: 40, 3: 20}, 3)
    assert not any(behind.entries_open(shard) for shard in (1, 2, 3))


def test_workers_share_the_bound_of_all_as_they_share_the_shards() -> None:
    behind = Backlog()
    behind.note({1: 30, 3: 20}, 4)
    assert not behind.entries_open(1)
    behind.note({1: 30, 3: 19}, 4)
    assert behind.entries_open(1)


def test_shards_that_are_served_no_more_do_not_count() -> None:
    behind = Backlog()
    behind.note({1: 99, 2: 1}, 2)
    assert not behind.entries_open(2)
    behind.note({2: 1}, 2)
    assert behind.entries_open(2)
    behind.note({}, 0)
    assert behind.entries_open(2)
