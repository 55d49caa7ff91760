"""The agents that somebody watches: what each has shown last, and what it shows now.

Pure but for the sights it is given: rows and heads come in, messages go out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from adapters.db.agents import Agent
from api.status import ShardHead, Sight, agent_status
from api.status_words import StatusWord, row_of
from api.tick_lines import Held, LogEntry, Schedule, tick_line, ticked_slots
from api.times import iso_seconds
from api.websocket_protocol import TICK_LINES_BATCH, status_text, tick_lines_text
from engine.rows import RowStatus

LINES_BEHIND_MAX = 60
"""Ticks of one commit that get lines: a catch-up runs no older ones."""

SightAt = Callable[[Agent, int], Awaitable[Sight | None]]


@dataclass(slots=True, eq=False)
class WatchedAgent:
    """One agent and what its watchers have seen of it."""

    agent: Agent
    shown: tuple[bytes | None, int, StatusWord | None] | None = None
    """Row bytes and epoch of the last status, and its container's word; None before the first."""
    slot: int = 0
    """Slot of the head that was seen last."""
    held: Held | None = None
    lines: list[LogEntry] = field(default_factory=list)

    async def look(
        self,
        head: ShardHead,
        record: np.void | None,
        sight: Sight,
        sight_at: SightAt,
        word: StatusWord | None = None,
    ) -> tuple[str | None, str | None]:
        """(agent_status message, log message with tick lines); None for what is not due.

        word: what one that runs is said to be while its container is not well.
        """
        row = row_of(self.agent, record)
        seen = (None if row is None else row.tobytes(), self.agent.epoch, word)
        first = self.shown is None
        ticked = [] if row is None else self._ticked(row, head)
        lines = None if row is None else await self._lines(row, ticked, sight_at)
        self.slot = max(self.slot, head.slot)
        if not ticked and not first and seen == self.shown:
            return None, lines
        self.shown = seen
        status = agent_status(self.agent, row, head, sight)
        if word is not None and status.status == "running":
            status = msgspec.structs.replace(status, status=word)
        return status_text(status, iso_seconds(head.slot)), lines

    def _ticked(self, row: np.void, head: ShardHead) -> list[int]:
        """The slots since the last look in which the agent ticked."""
        if row["status"] != RowStatus.RUNNING:
            return []
        after = self.slot if self.slot else head.slot - 1
        first = max(after + 1, head.slot - LINES_BEHIND_MAX + 1)
        schedule = Schedule(int(row["start_slot"]), max(int(row["interval"]), 1))
        return ticked_slots(schedule, first, head.slot, head.skipped)

    async def _lines(self, row: np.void, ticked: list[int], sight_at: SightAt) -> str | None:
        """Adds the lines of these ticks; a message once there are enough of them."""
        before, now = self.held, held_of(row)
        changed_at = int(row["action_slot"])
        self.held = now
        for slot in ticked:
            sight = await sight_at(self.agent, slot)
            if sight is not None:
                held = now if slot >= changed_at else before
                self.lines.append(tick_line(slot, sight, held))
        if len(self.lines) < TICK_LINES_BATCH:
            return None
        lines, self.lines = self.lines, []
        return tick_lines_text(self.agent.id, lines)


def held_of(row: np.void) -> Held | None:
    """The open position of a row."""
    if not row["side"]:
        return None
    return Held(
        int(row["side"]),
        float(row["quantity"]),
        float(row["entry_price"]),
        int(row["opened_slot"]),
    )
