"""Sharing out partitions: fair, stable, and every partition ends with one owner."""

from hypothesis import given
from hypothesis import strategies as st

from workers.partitions import fair_share, wishes

NAMES = st.lists(
    st.text(alphabet="abcdefgh", min_size=1, max_size=3), min_size=1, max_size=12, unique=True
)


@given(NAMES, st.integers(1, 32))
def test_shares_add_up_and_differ_by_one_at_most(names: list[str], partitions: int) -> None:
    shares = [fair_share(name, names, partitions) for name in names]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


def test_a_worker_that_is_not_listed_yet_counts_itself() -> None:
    assert fair_share("b", ["a"], 8) == 4


@given(NAMES, st.integers(1, 16), st.data())
def test_beats_in_any_order_settle_on_fair_shares(
    names: list[str], partitions: int, data: st.DataObject
) -> None:
    owners = data.draw(
        st.lists(st.sampled_from(["", *names]), min_size=partitions, max_size=partitions)
    )
    for _ in range(2 * partitions + 2):
        for name in data.draw(st.permutations(names)):
            for partition, wish in enumerate(wishes(name, names, owners)):
                if owners[partition] == name and wish == "drop":
                    owners[partition] = ""
                elif not owners[partition] and wish == "take":
                    owners[partition] = name
    held = {name: owners.count(name) for name in names}
    assert held == {name: fair_share(name, names, partitions) for name in names}


def test_a_surplus_is_given_back_one_at_a_time() -> None:
    asked = wishes("a", ["a", "b"], ["a"] * 8)
    assert asked.count("drop") == 1
    assert asked.count("take") == 0
