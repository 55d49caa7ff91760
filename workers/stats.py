"""What a worker has done so far, in numbers that fit into one small report.

Lag is the moment of the commit minus the moment the tick was due, in whole milliseconds; the
histogram is bounded: one bucket for each millisecond up to two seconds, the last for the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LAG_BUCKETS = 2_001
SLOTS_TOLD = 16
"""Newest slots of which a report tells the ticks: what was run through each can be told by them."""


@dataclass(slots=True)
class WorkerStats:
    """Counters since the worker started. Refusals are by the reason the commit script gave."""

    ticks: int = 0
    commits: int = 0
    events: int = 0
    commands: int = 0
    missed_slots: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    lag_ms: list[int] = field(default_factory=lambda: [0] * LAG_BUCKETS)

    _slot_ticks: dict[int, int] = field(default_factory=dict)

    def committed(
        self, ran: Mapping[int, int], events: int, commands: int, lags_s: Sequence[float]
    ) -> None:
        """One commit has landed: the ticks of each slot that it ran, and a lag for each."""
        for slot, ticks in ran.items():
            self.ticks += ticks
            self._slot_ticks[slot] = self._slot_ticks.get(slot, 0) + ticks
        while len(self._slot_ticks) > SLOTS_TOLD:
            del self._slot_ticks[min(self._slot_ticks)]
        self.events += events
        self.commands += commands
        self.commits += 1
        for lag_s in lags_s:
            self.lag_ms[min(max(int(lag_s * 1000), 0), LAG_BUCKETS - 1)] += 1

    def refused(self, reason: str) -> None:
        """One commit was refused; the tick runs again or somebody else has run it."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def report(self) -> dict[str, Any]:
        """A JSON form; the histogram as {milliseconds: slots run}."""
        return {
            "ticks": self.ticks,
            "slot_ticks": self._slot_ticks,
            "commits": self.commits,
            "events": self.events,
            "commands": self.commands,
            "missed_slots": self.missed_slots,
            "refusals": dict(self.refusals),
            "lag_ms": {ms: count for ms, count in enumerate(self.lag_ms) if count},
        }
