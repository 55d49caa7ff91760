"""One client of the stream: what it wished for, and what it has not been sent yet. No I/O."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from api.websocket_protocol import Fact, Outbox, Wishes, gap_message


@dataclass(eq=False)
class Watcher:
    """One client: what it wished for, and what it has not been sent yet."""

    wishes: Wishes
    outbox: Outbox = field(default_factory=Outbox)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    after: int | None = None
    """seq of the last fact that was put; None: everything live is news."""
    replaying: bool = False

    def put_status(self, agent_id: UUID, message: bytes) -> None:
        """Offers the newest status of an agent."""
        if self.wishes.include(agent_id):
            self.outbox.put_status(agent_id, message)
            self.news.set()

    def put_lines(self, agent_id: UUID, message: bytes) -> None:
        """Offers a batch of tick lines."""
        if self.wishes.include(agent_id):
            self._put(message)

    def put_fact(self, fact: Fact) -> None:
        """Offers a trade or log, unless it was put before."""
        if self.after is not None and fact.seq <= self.after:
            return
        self.after = fact.seq
        if self.wishes.include(fact.agent_id):
            self._put(fact.text)

    def put_gap(self, first: int, last: int) -> None:
        """Says that messages are no longer kept."""
        self.after = max(last, self.after or 0)
        self._put(gap_message(first, last))

    def _put(self, message: bytes) -> None:
        self.outbox.put_fact(message)
        self.news.set()
        if self.outbox.too_far_behind:
            self.given_up.set()
