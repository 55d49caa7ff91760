"""Agents' lives as events, numbered and with their rows, the way the engine writes them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters.db.agents import Agent
from adapters.db.records import ShardEvents
from engine.events import Event, decode_event, encode_event
from engine.rows import ROW, Reason, RowStatus

RUN = "a" * 40
SLOT = 1_800_000_000


@dataclass
class Story:
    """The life of one agent; each call is one event, encoded."""

    agent: Agent
    slot: int = SLOT
    record: np.ndarray[Any, np.dtype[np.void]] = field(init=False)
    opening: Event | None = None

    def __post_init__(self) -> None:
        self.record = np.zeros(1, ROW)
        self.record["agent_id"] = np.void(self.agent.id.bytes)
        self.record["plan_id"] = self.agent.plan_id
        self.record["epoch"] = self.agent.epoch

    @property
    def seq(self) -> int:
        return int(self.record["seq"][0])

    def set_row(self, **values: Any) -> None:
        """Fields of the row as they are from the next event on."""
        for name, value in values.items():
            self.record[name] = value

    def event(self, kind: str, **values: Any) -> bytes:
        self.record["seq"] += 1
        return encode_event(self.plain(kind, **values))

    def plain(self, kind: str, **values: Any) -> Event:
        return Event(
            kind=kind,
            agent_id=self.agent.id.bytes,
            row=self.agent.row,
            seq=self.seq,
            slot=self.slot,
            row_after=self.record.tobytes(),
            **values,
        )

    def created(self) -> bytes:
        self.set_row(status=RowStatus.RUNNING)
        return self.event("created")

    def started(self) -> bytes:
        self.set_row(status=RowStatus.RUNNING, status_reason=0)
        return self.event("started")

    def stopped(self, reason: Reason = Reason.BY_USER) -> bytes:
        self.set_row(status=RowStatus.STOPPED, status_reason=reason)
        return self.event("stopped", reason=reason)

    def failed(self, text: str) -> bytes:
        self.set_row(status=RowStatus.ERROR, status_reason=Reason.PLAN_FAILED)
        return self.event("failed", text=text, reason=Reason.PLAN_FAILED)

    def deleted(self) -> bytes:
        self.set_row(status=RowStatus.FREE, status_reason=Reason.DELETED)
        return self.event("deleted")

    def opened(
        self, price: float = 60_000.5, quantity: float = 0.00166665, fee: float = 0.1, side: int = 1
    ) -> bytes:
        self.set_row(trade_seq=self.seq + 1, side=side)
        payload = self.event(
            "opened",
            reason=Reason.SIGNAL,
            price=price,
            side=side,
            quantity=quantity,
            fee_usd=fee,
            entry_price=price,
            entry_fee_usd=fee,
            opened_slot=self.slot,
            trade_seq=self.seq,
            leverage=2,
            open_reason=Reason.SIGNAL,
            signal=0.75,
        )
        self.opening = decode_event(payload)
        return payload

    def closed(
        self,
        price: float = 61_000.25,
        pnl: float = 1.46666,
        fee: float = 0.10166,
        reason: Reason = Reason.TAKE_PROFIT,
    ) -> bytes:
        assert self.opening is not None
        entry = self.opening
        self.set_row(side=0)
        return self.event(
            "closed",
            reason=reason,
            price=price,
            side=entry.side,
            quantity=entry.quantity,
            fee_usd=fee,
            pnl_usd=pnl,
            entry_price=entry.price,
            entry_fee_usd=entry.fee_usd,
            opened_slot=entry.slot,
            trade_seq=entry.seq,
            leverage=entry.leverage,
            open_reason=entry.reason,
        )


def batch(shard: int, after: int, *versions: list[bytes], run_id: str = RUN) -> ShardEvents:
    """What a ledger reads of a shard's stream: the events of each version above `after`."""
    entries = [
        (after + 1 + i, n, payload)
        for i, events in enumerate(versions)
        for n, payload in enumerate(events, start=1)
    ]
    return ShardEvents(shard, run_id, after, entries)
