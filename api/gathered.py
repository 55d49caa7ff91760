"""Questions that come at the same time are answered by one piece of work.

Nobody waits for company: the first one starts the work, those who come meanwhile share the next
one. So a single caller is as fast as ever, and many cost little more than one. Where more wait than
one piece takes, it takes one of each owner in turn: nobody waits for the backlog of another. And
where what the work needs is away, all who wait hear of it at once: each of their pieces would take
as long as the server is waited for, one after the other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import chain
from typing import Generic, TypeAlias, TypeVar

from api.errors import away

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_Asked: TypeAlias = tuple[Question, "asyncio.Future[Answer]"]

AT_ONCE = 200
WAITING_MAX = 5_000
"""Of one owner."""


class Gathered(Generic[Question, Answer]):
    """One kind of work, one piece at a time. Each owner is answered in the order of questions."""

    def __init__(
        self,
        what: str,
        work: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        is_away: Callable[[Exception], bool] = lambda error: False,
        at_once: int = AT_ONCE,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """is_away: whether an error of the work means that no other piece would do better now."""
        self._what = what
        self._is_away = is_away
        self._work = work
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._waiting: dict[Hashable, deque[_Asked[Question, Answer]]] = {}
        """By owner; who has had a turn goes to the end."""
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Question, owner: Hashable = None) -> Answer:
        """The answer, or what the work raised.

        Raises:
            Problem: 503, more of this owner wait than may.
        """
        mine = self._waiting.get(owner)
        if mine is None:
            mine = self._waiting[owner] = deque()
        if len(mine) >= self._waiting_max:
            raise away(self._what)
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        mine.append((question, told))
        if self._working is None:
            self._working = asyncio.create_task(self._run())
        return await told

    async def _run(self) -> None:
        asked: list[_Asked[Question, Answer]] = []
        try:
            while self._waiting:
                asked = self._next()
                await self._answer(asked)
        finally:
            self._working = None
            # nothing is left but when this task is canceled, with the process
            for _, told in chain(asked, *self._waiting.values()):
                told.cancel()
            self._waiting.clear()

    def _next(self) -> list["_Asked[Question, Answer]"]:
        """What the next piece is of: one of each owner, and again, until it is full."""
        taken: list[_Asked[Question, Answer]] = []
        while self._waiting and len(taken) < self._at_once:
            owner, mine = next(iter(self._waiting.items()))
            del self._waiting[owner]
            taken.append(mine.popleft())
            if mine:
                self._waiting[owner] = mine
        return taken

    async def _answer(self, asked: Sequence["_Asked[Question, Answer]"]) -> None:
        try:
            answers = await self._work([question for question, _ in asked])
        except Exception as error:
            others: list[_Asked[Question, Answer]] = []
            if self._is_away(error):
                others = list(chain(*self._waiting.values()))
                self._waiting.clear()
            for _, told in chain(asked, others):
                if not told.done():
                    told.set_exception(error)
            return
        for (_, told), answer in zip(asked, answers, strict=True):
            if not told.done():
                told.set_result(answer)
