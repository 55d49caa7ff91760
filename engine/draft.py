"""The table of one shard while one slot is worked on, and the events of the slot.

The given array is never written: the first change copies it, and a slot without one copies nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.events import Event
from engine.rows import ROW, Index, Reason, Rows, copy_of, rows_at
from engine.schedule import SkippedRange, Slots, rebase, tally


class Draft:
    """Change the rows that own() gives, then record the event: it shows the row as it is then.

    Marks that move often (best prices, peaks) are no event; note_changed() tells of their rows.
    """

    def __init__(
        self,
        rows: Rows,
        slot: int,
        skipped: Sequence[SkippedRange],
        folded_slot: int,
        symbol: Slots | None = None,
    ) -> None:
        self.rows = rows
        self.slot = slot
        self.skipped = skipped
        self.folded_slot = folded_slot
        self.symbol = symbol
        self.events: list[Event] = []
        self._own = False
        self._columns: dict[tuple[str, ...], list[npt.NDArray[Any]]] = {}
        self._counted: dict[int, tuple[int, int]] = {}
        self._unsaid: list[Index] = []

    def own(self) -> Rows:
        """The rows, as a copy that may be written."""
        if not self._own:
            self.rows = copy_of(self.rows)
            self._own = True
            self._columns.clear()
        return self.rows

    def columns(self, names: tuple[str, ...]) -> list[npt.NDArray[Any]]:
        """Columns of the rows, to write single values of many commands: a fifth of the cost of
        writing them into a record.
        """
        found = self._columns.get(names)
        if found is None:
            rows = self.own()
            found = self._columns[names] = [rows[name] for name in names]
        return found

    def count_ahead(self) -> None:
        """Counts the ticks of all rows together, before many commands; see count_row."""
        ticks, missed = tally(self.rows, self.slot - 1, self.skipped, self.folded_slot)
        self._counted = dict(enumerate(zip(ticks.tolist(), missed.tolist(), strict=True)))

    def forget_count(self, row: int) -> None:
        """A command has changed the row: what was counted ahead holds no longer."""
        self._counted.pop(row, None)

    def count_row(self, row: int) -> None:
        """Counts a row into its bases up to this slot, without it: a command comes before the slot,
        and a new schedule counts it.
        """
        counted = self._counted.get(row)
        if counted is None:
            index = np.array([row])
            rebase(self.rows, index, self.slot - 1, self.skipped, self.folded_slot)
            return
        record = self.rows[row]
        record["ticks_base"], record["missed_base"] = counted

    def note_changed(self, index: Index) -> None:
        """Rows that were changed and have no event of it."""
        self._unsaid.append(index)

    def changed(self) -> Index:
        """Rows with an event and those without one, ascending."""
        said = np.array([event.row for event in self.events], np.intp)
        return np.unique(np.concatenate([said, *self._unsaid]))

    def number(self, index: Index) -> list[tuple[bytes, int, int, int, bytes]]:
        """Raises the seq of each row; how their events begin: agent, row, seq, slot, row after."""
        seqs = self.rows["seq"][index] + 1
        self.rows["seq"][index] = seqs
        after = rows_at(self.rows, index).tobytes()
        begins = range(0, len(after), ROW.itemsize)
        return [
            (after[at : at + 16], row, seq, self.slot, after[at : at + ROW.itemsize])
            for at, row, seq in zip(begins, index.tolist(), seqs.tolist(), strict=True)
        ]

    def say_one(self, kind: str, row: int, reason: Reason = Reason.NONE) -> None:
        """The same as `say` of one row, without arrays: thousands may be told at once."""
        record = self.rows[row]
        seq = int(record["seq"]) + 1
        record["seq"] = seq
        after = record.tobytes()
        self.events.append(Event(kind, after[:16], row, seq, self.slot, after, reason=int(reason)))

    def say(
        self,
        kind: str,
        index: Index,
        reason: Reason = Reason.NONE,
        texts: Sequence[str] | None = None,
    ) -> None:
        """Records an event of each row that is no trade; `texts`: one of each row."""
        texts = texts or [""] * len(index)
        for head, text in zip(self.number(index), texts, strict=True):
            self.events.append(Event(kind, *head, reason=int(reason), text=text))

    def sort_events(self, first: int) -> None:
        """Sorts the events from number `first` on by row; those of one row stay in their order."""
        self.events[first:] = sorted(self.events[first:], key=lambda event: event.row)

    def clear(self, row: int) -> None:
        """Zeroes a row, but for what stays with it for good: its (last) agent, epoch and seq."""
        record = self.rows[row]
        agent_id, epoch, seq = record["agent_id"].tobytes(), record["epoch"], record["seq"]
        self.rows[row] = np.zeros((), ROW)
        record["agent_id"], record["epoch"], record["seq"] = agent_id, epoch, seq

    def free(self, index: Index) -> None:
        """Deletes the agents of flat rows."""
        for row in index.tolist():
            self.clear(row)
        self.say("deleted", index, Reason.DELETED)
