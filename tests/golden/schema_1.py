"""Lives of agents that row schema 1 can hold, from a seed; what a version makes of them is told by
one hash of every event and every table.
"""

import random
from collections.abc import Callable, Iterator
from hashlib import blake2s

import numpy as np

from engine.commands import Command, Wanted
from engine.events import Event
from engine.rows import Rows, empty_rows
from engine.tick import Outcome, SlotInputs

ROWS, PLANS, SLOTS = 16, 3, 300
FIRST = 1000
NAN = float("nan")


def commands(slot: int, chance: random.Random, epochs: list[int]) -> Iterator[Command]:
    """All start in the first slot; later they are started, edited, stopped, deleted at random."""
    rows = range(ROWS) if slot == FIRST else [chance.randrange(ROWS)]
    if slot > FIRST and chance.random() > 0.4:
        return
    wishes = [Wanted.RUNNING] * 4 + [Wanted.STOPPED] * 2 + [Wanted.DELETED]
    for row in rows:
        epochs[row] += 1
        yield Command(
            agent_id=bytes([row + 1]) * 16,
            row=row,
            epoch=epochs[row],
            wanted=Wanted.RUNNING if slot == FIRST else chance.choice(wishes),
            close_position=chance.random() < 0.6,
            plan_id=chance.randrange(PLANS),
            interval=chance.choice([1, 1, 2, 5]),
            threshold=chance.choice([0.2, 0.6]),
            max_position_usd=chance.choice([100.0, 33.3, 1e6]),
            stop_loss_ppm=chance.choice([0, 500, 3000, 20_000]),
            take_profit_ppm=chance.choice([0, 500, 3000, 1_500_000]),
            leverage=chance.choice([1, 3, 125]),
            fee_cbps=chance.choice([0, 1000]),
            slippage_cbps=chance.choice([0, 100]),
            max_session_loss_usd=chance.choice([0.0, 0.0, 2.0, 50.0]),
            asked_epoch=chance.choice([0, 0, max(epochs[row] - 1, 0)]),
        )


def digest(
    seed: int,
    advance: Callable[[Rows, SlotInputs], Outcome],
    table_of: Callable[[Rows], bytes],
) -> str:
    """What became of the lives of one seed; table_of: a table as schema 1 stores it."""
    chance, epochs = random.Random(seed), [0] * ROWS
    rows, prices = empty_rows(ROWS), [100.0, 0.5, 90_000.0]
    told = blake2s(digest_size=16)
    signals = [NAN, 0.0, 0.3, -0.3, 1.0, -1.0]
    for slot in range(FIRST, FIRST + SLOTS):
        step = chance.choice([0.0005] * 9 + [0.03])
        prices = [price * (1 + chance.gauss(0, step)) for price in prices]
        inputs = SlotInputs(
            slot=slot,
            price=np.array(prices),
            fresh=np.array([chance.random() > 0.05 for _ in prices]),
            signal=np.array([chance.choice(signals) for _ in prices]),
            failed={1: "it raised"} if chance.random() < 0.01 else {},
            commands=list(commands(slot, chance, epochs)),
        )
        outcome = advance(rows, inputs)
        rows = outcome.rows
        for event in outcome.events:
            told.update(_words(event))
        told.update(table_of(rows))
    return told.hexdigest()


def _words(event: Event) -> bytes:
    numbers = (event.price, event.quantity, event.fee_usd, event.pnl_usd, event.signal)
    whole = (event.row, event.seq, event.slot, event.reason, event.side, event.trade_seq)
    return repr((event.kind, whole, numbers, event.text)).encode() + event.row_after
