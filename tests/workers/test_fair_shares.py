"""Who gets how much of a transaction of the ledger."""

from hypothesis import given
from hypothesis import strategies as st

from workers.ledger_job import EVENTS_A_TRANSACTION, SHARDS_A_ROUND, fair_shares

waiting = st.dictionaries(
    st.integers(0, 999), st.integers(0, 50_000), max_size=SHARDS_A_ROUND, min_size=1
)


def test_a_backlog_takes_what_the_others_leave() -> None:
    assert fair_shares({1: 90_000, 2: 3, 3: 0, 4: 80_000}, 100) == {1: 48, 2: 3, 3: 1, 4: 48}


@given(waiting)
def test_shares_fit_and_nobody_waits_for_one_who_has_more(found: dict[int, int]) -> None:
    shares = fair_shares(found, EVENTS_A_TRANSACTION)
    assert shares.keys() == found.keys()
    assert sum(shares.values()) <= EVENTS_A_TRANSACTION
    least = EVENTS_A_TRANSACTION // len(found)
    for shard, events in found.items():
        assert shares[shard] >= max(min(events, least), 1)
        if shares[shard] < events:  # it has as much as anybody
            assert shares[shard] >= max(shares.values()) - 1
    if sum(found.values()) >= EVENTS_A_TRANSACTION:
        assert sum(shares.values()) == EVENTS_A_TRANSACTION
