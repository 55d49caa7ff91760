"""Questions that come at the same time are answered by one piece of work.

Nobody waits for company: the first one starts the work, those who come meanwhile share the next
one. So a single caller is as fast as ever, and many cost little more than one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from api.errors import away

Question = TypeVar("Question")
Answer = TypeVar("Answer")

AT_ONCE = 200
WAITING_MAX = 5_000


class Gathered(Generic[Question, Answer]):
    """One kind of work, one piece at a time. It answers in the order of the questions."""

    def __init__(
        self,
        what: str,
        work: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        at_once: int = AT_ONCE,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._what = what
        self._work = work
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer, or what the work raised.

        Raises:
            Problem: 503, more wait than may.
        """
        if len(self._waiting) >= self._waiting_max:
            raise away(self._what)
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, told))
        if self._working is None:
            self._working = asyncio.create_task(self._run())
        return await told

    async def _run(self) -> None:
        asked: list[tuple[Question, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                asked = self._waiting[: self._at_once]
                del self._waiting[: self._at_once]
                await self._answer(asked)
        finally:
            self._working = None
            # nothing is left but when this task is canceled, with the process
            for _, told in [*asked, *self._waiting]:
                told.cancel()
            self._waiting.clear()

    async def _answer(self, asked: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([question for question, _ in asked])
        except Exception as error:
            for _, told in asked:
                if not told.done():
                    told.set_exception(error)
            return
        for (_, told), answer in zip(asked, answers, strict=True):
            if not told.done():
                told.set_result(answer)
