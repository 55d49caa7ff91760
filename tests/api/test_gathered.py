"""Questions of one moment share a piece of work; nobody waits for company, nobody is forgotten."""

import asyncio
from collections.abc import Sequence

import pytest

from api.errors import Problem
from api.gathered import Gathered


class Work:
    """Doubles numbers, when it may."""

    def __init__(self) -> None:
        self.pieces: list[list[int]] = []
        self.may = asyncio.Event()

    async def __call__(self, asked: Sequence[int]) -> Sequence[int]:
        self.pieces.append(list(asked))
        await self.may.wait()
        if 13 in asked:
            raise LookupError("thirteen")
        return [2 * each for each in asked]


async def test_those_who_come_meanwhile_share_the_next_piece() -> None:
    work = Work()
    doubled = Gathered("numbers", work, at_once=3)
    asked = [asyncio.create_task(doubled.ask(1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.pieces == [[1]]  # at once
    asked += [asyncio.create_task(doubled.ask(n)) for n in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    work.may.set()
    assert await asyncio.gather(*asked) == [2, 4, 6, 8, 10]
    assert work.pieces == [[1], [2, 3, 4], [5]]
    assert await doubled.ask(6) == 12


async def test_what_the_work_raises_is_for_those_who_shared_it() -> None:
    work = Work()
    doubled = Gathered("numbers", work, at_once=2)
    asked = [asyncio.create_task(doubled.ask(n)) for n in (13, 1, 2)]
    work.may.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers] == [LookupError, LookupError, int]
    assert work.pieces == [[13, 1], [2]]


async def test_what_is_away_is_away_for_all_who_wait() -> None:
    """None of them waits for a piece of its own, which would take as long to fail."""
    work = Work()
    doubled = Gathered("numbers", work, is_away=lambda e: isinstance(e, LookupError), at_once=2)
    asked = [asyncio.create_task(doubled.ask(n, f"owner {n}")) for n in (13, 1, 2, 3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.may.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers] == [LookupError] * 4
    assert work.pieces == [[13, 1]]
    assert await doubled.ask(4) == 8


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    work = Work()
    doubled = Gathered("numbers", work)
    gone, stays = asyncio.create_task(doubled.ask(1)), asyncio.create_task(doubled.ask(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    work.may.set()
    assert await stays == 4
    assert gone.cancelled()


async def test_more_than_may_wait_are_refused() -> None:
    work = Work()
    doubled = Gathered("numbers", work, at_once=1, waiting_max=2)
    first = asyncio.create_task(doubled.ask(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(doubled.ask(n)) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Problem) as refused:
        await doubled.ask(3)
    assert refused.value.status == 503
    work.may.set()
    assert await asyncio.gather(first, *waiting) == [0, 2, 4]


async def test_nobody_waits_for_the_backlog_of_another() -> None:
    work = Work()
    doubled = Gathered("numbers", work, at_once=4, waiting_max=8)
    asked = [asyncio.create_task(doubled.ask(0, "many"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(doubled.ask(n, "many")) for n in range(1, 9)]
    asked += [asyncio.create_task(doubled.ask(100 + n, f"other {n}")) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Problem):
        await doubled.ask(9, "many")
    work.may.set()
    assert await asyncio.gather(*asked) == [*range(0, 18, 2), 200, 202]
    assert work.pieces == [[0], [1, 100, 101, 2], [3, 4, 5, 6], [7, 8]]
