"""The agents that somebody watches: what each has shown last, and what a shard of them shows now.

Pure: rows, heads and sights come in, messages go out. All watched agents of a shard are looked at
together, since there may be thousands of them each second.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from adapters.db.agents import Agent
from api.status import ShardHead, Sight
from api.status_columns import Seen, StatusColumns, status_columns
from api.status_pieces import AgentPieces, SightPieces, SlotPieces, agent_pieces
from api.status_words import StatusWord
from api.tick_lines import Held, tick_line
from api.websocket_protocol import TICK_LINES_BATCH, tick_lines_message
from engine.position import unrealized
from engine.rows import Mask, Rows, RowStatus
from engine.schedule import running_mask

LINES_BEHIND_MAX = 60
"""Ticks of one commit that get lines: a catch-up runs no older ones."""

PlanSights = Mapping[int, Sight]
"""What one frame says, by plan."""


@dataclass(slots=True, eq=False)
class WatchedAgent:
    """One agent and what its watchers have seen of it."""

    agent: Agent
    shown: tuple[bytes | None, int, StatusWord | None] | None = None
    """Row bytes and epoch of the last status, and its container's word; None before the first."""
    slot: int = 0
    """Slot of the head that was seen last."""
    held: Held | None = None
    lines: list[bytes] = field(default_factory=list)
    """Of the ticks since the last batch, as JSON."""
    pieces: AgentPieces | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What there is to say of an agent: an agent_status message, a log message with tick lines."""

    place: int
    """Among the agents that were looked at."""
    watched: WatchedAgent
    status: bytes
    lines: bytes | None


class ShardLook:
    """One look at watched agents of one shard, in three steps: what is new, what has to be known
    of the market for it, and the messages.

    rows: the record in each agent's place, a free one where there is none. words: what an agent
    that runs is said to be while its container is not well. before: the rows of the last look at
    the same agents, where everybody was told of it.
    """

    def __init__(
        self,
        head: ShardHead,
        watched: Sequence[WatchedAgent],
        rows: Rows,
        words: Sequence[StatusWord | None],
        before: Rows | None = None,
    ) -> None:
        self._head = head
        self._watched = watched
        self._rows = rows
        ids = np.frombuffer(b"".join(each.agent.id.bytes for each in watched), "V16")
        self._own: Mask = (rows["agent_id"] == ids) & (rows["status"] != int(RowStatus.FREE))
        self._seen: list[tuple[bytes | None, int, StatusWord | None]] = [
            (record, each.agent.epoch, word)
            for record, each, word in zip(self._records(before), watched, words, strict=True)
        ]
        self._ticked = self._ticked_slots()
        """Indices of the agents that ticked in a slot, by slot, ascending."""
        ticked = np.zeros(len(rows), np.bool_)
        for indices in self._ticked.values():
            ticked[indices] = True
        self._due = [
            has_ticked or each.shown is None or each.shown != seen
            for has_ticked, each, seen in zip(ticked.tolist(), watched, self._seen, strict=True)
        ]

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be said, or a line to be kept."""
        return any(self._due)

    def wanted(self) -> dict[int, list[Agent]]:
        """The slots whose frames are needed, with one agent of each plan."""
        wanted = {slot: indices.tolist() for slot, indices in self._ticked.items()}
        wanted[self._head.slot] = [i for i, is_due in enumerate(self._due) if is_due]
        agents = [each.agent for each in self._watched]
        return {
            slot: list({agents[i].plan_id: agents[i] for i in indices}.values())
            for slot, indices in wanted.items()
        }

    def told(self, sights: Mapping[int, PlanSights], now: PlanSights) -> Iterator[Told]:
        """The messages. sights: by slot, without those whose frames are gone, which get no lines;
        now: what statuses show, of every plan that `wanted` has named for the head's slot.
        """
        head = self._head
        pieces = {plan: SightPieces(sight, head.slot) for plan, sight in now.items()}
        of_agent = [
            pieces[each.agent.plan_id] if is_due else NOT_DUE
            for each, is_due in zip(self._watched, self._due, strict=True)
        ]
        columns = self._columns(of_agent)
        profits = msgspec.json.encode(columns.profit_usd)[1:-1].split(b",")
        shared = SlotPieces(head.slot)
        older, newest = self._lines_due(sights)
        for i, (watched, seen, sight) in enumerate(
            zip(self._watched, self._seen, of_agent, strict=True)
        ):
            watched.slot = max(watched.slot, head.slot)
            if not self._due[i]:
                continue
            mine = watched.pieces
            if mine is None or not mine.are_of(watched.agent, seen[0], seen[2]):
                row = self._rows[i] if seen[0] is not None else None
                mine = watched.pieces = agent_pieces(watched.agent, row, seen[0], seen[2])
            lines = None
            if seen[0] is not None:
                before, watched.held = watched.held, mine.held
                for slot, then, profit_usd in older.get(i, ()):
                    if slot >= self._rows["action_slot"][i]:
                        line = _line(then, mine, profit_usd)
                    else:
                        line = msgspec.json.encode(tick_line(slot, then.sight, before))
                    watched.lines.append(line)
                if newest[i]:
                    watched.lines.append(_line(sight, mine, columns.profit_usd[i]))
                if len(watched.lines) >= TICK_LINES_BATCH:
                    lines = tick_lines_message(watched.agent.id, watched.lines)
                    watched.lines = []
            watched.shown = seen
            status = b"".join(
                (
                    mine.head,
                    shared.ts,
                    mine.body,
                    sight.price_fields,
                    mine.position,
                    profits[i] if mine.held is not None else b"",
                    mine.rest,
                    sight.signal_fields,
                    shared.action_fields(columns.action[i], sight.sight.silenced),
                    b'"ticks":%d,"missed_ticks":%d,' % (columns.ticks[i], columns.missed[i]),
                    shared.time_fields(columns.last_tick[i], columns.next_tick[i]),
                    mine.tail,
                )
            )
            yield Told(i, watched, status, lines)

    def _records(self, before: Rows | None) -> list[bytes | None]:
        """The bytes of the agents' own rows; the same object as last time where nothing changed,
        which is mostly so, and makes them cheap to compare.
        """
        rows = self._rows
        own: list[bool] = self._own.tolist()
        if before is None:
            records = rows.view(np.dtype(f"V{rows.itemsize}")).tolist()
            return [record if is_own else None for record, is_own in zip(records, own, strict=True)]
        table = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        same = (table == before.view(np.uint8).reshape(len(rows), -1)).all(axis=1)
        return [
            each.shown[0]
            if is_same and each.shown is not None
            else rows[i].tobytes()
            if own[i]
            else None
            for i, (each, is_same) in enumerate(zip(self._watched, same.tolist(), strict=True))
        ]

    def _columns(self, sights: Sequence[SightPieces]) -> StatusColumns:
        seen = Seen(
            price=np.array([each.price for each in sights]),
            signal=np.array([each.signal for each in sights]),
            stale=np.array([each.sight.stale for each in sights]),
            silenced=np.array([each.silenced for each in sights]),
        )
        fleet_halted = np.array([each.agent.fleet_halt != 0 for each in self._watched])
        return status_columns(self._rows, self._own, self._head, seen, fleet_halted)

    def _ticked_slots(self) -> dict[int, np.ndarray]:
        """See tick_lines.ticked_slots; of each agent those since it was looked at last."""
        rows, newest = self._rows, self._head.slot
        running = running_mask(rows) & self._own
        start = rows["start_slot"].astype(np.int64)
        interval = np.maximum(rows["interval"].astype(np.int64), 1)
        seen = np.array([each.slot or newest - 1 for each in self._watched])
        first = np.maximum(seen + 1, newest - LINES_BEHIND_MAX + 1)
        first = np.maximum(first, start)
        ticked: dict[int, np.ndarray] = {}
        for slot in range(int(first.min(initial=newest)), newest + 1):
            if any(gap.first <= slot <= gap.last for gap in self._head.skipped):
                continue
            mask = running & (first <= slot)
            mask &= (slot - start) % interval == 0
            if mask.any():
                ticked[slot] = np.flatnonzero(mask)
        return ticked

    def _lines_due(
        self, sights: Mapping[int, PlanSights]
    ) -> tuple[dict[int, list[tuple[int, SightPieces, float]]], list[bool]]:
        """(for each agent the ticks before the newest slot, with what was seen and the profit of
        the position that it has now; whether it ticked in the newest slot).
        """
        rows = self._rows
        newest = np.zeros(len(rows), np.bool_)
        older: dict[int, list[tuple[int, SightPieces, float]]] = {}
        for slot, indices in self._ticked.items():
            seen = sights.get(slot)
            if seen is None:
                continue
            if slot == self._head.slot:
                newest[indices] = True
                continue
            pieces = {plan: SightPieces(sight, slot) for plan, sight in seen.items()}
            ticked = indices.tolist()
            then = [pieces[self._watched[i].agent.plan_id] for i in ticked]
            profits = unrealized(
                rows["side"][indices],
                rows["entry_price"][indices],
                rows["quantity"][indices],
                np.array([each.price for each in then]),
            )
            for i, each, profit_usd in zip(ticked, then, profits.tolist(), strict=True):
                older.setdefault(i, []).append((slot, each, profit_usd))
        return older, newest.tolist()


def _line(sight: SightPieces, mine: AgentPieces, profit_usd: float) -> bytes:
    """The line of a tick after which the row has not changed."""
    if mine.held is None:
        return sight.line
    return sight.line_with(mine.held_text, profit_usd)


NOT_DUE = SightPieces(Sight("none", None, None, True, None, ""), 0)
