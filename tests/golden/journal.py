"""A journal of the engine as lines of JSON: what each slot saw, and what became of it.

One line is one slot; the table after it is told by its hash, so that no byte of it may differ.
"""

import json
from collections.abc import Iterator
from hashlib import blake2s
from pathlib import Path
from typing import Any

import numpy as np

from engine.commands import decode_command, encode_command
from engine.events import Event
from engine.rows import Floats
from engine.schemas import rows_to_bytes
from engine.tick import Outcome, SlotInputs

JOURNAL = Path(__file__).with_name("journal.jsonl")
ROWS = 24
_ARRAYS = ("price", "signal", "atr_fraction", "volatility")
_OF_TRADES = ("price", "quantity", "fee_usd", "pnl_usd")


def written(inputs: SlotInputs, outcome: Outcome) -> str:
    """The line of a slot."""
    line: dict[str, Any] = {"slot": inputs.slot}
    for name in _ARRAYS:
        values: Floats | None = getattr(inputs, name)
        assert values is not None
        line[name] = [None if np.isnan(each) else each for each in values.tolist()]
    assert inputs.symbol is not None
    line["fresh"] = [int(each) for each in inputs.fresh.tolist()]
    line["symbol"] = inputs.symbol.tolist()
    if not inputs.entries:
        line["entries"] = False
    for name in ("failed", "cannot_run"):
        if getattr(inputs, name):
            line[name] = getattr(inputs, name)
    if inputs.commands:
        line["commands"] = [encode_command(each).hex() for each in inputs.commands]
    return json.dumps(line | told(outcome), separators=(",", ":"))


def told(outcome: Outcome) -> dict[str, Any]:
    """What became of a slot."""
    return {
        "events": [_event(each) for each in outcome.events],
        "changed": outcome.changed.tolist(),
        "table": blake2s(rows_to_bytes(outcome.rows), digest_size=16).hexdigest(),
    }


def _event(event: Event) -> list[Any]:
    line: list[Any] = [event.kind, event.row, event.seq, event.reason]
    if event.kind in {"opened", "closed"}:
        line += [event.side, *(getattr(event, name) for name in _OF_TRADES)]
    return [*line, event.text] if event.text else line


def read() -> Iterator[tuple[SlotInputs, dict[str, Any]]]:
    """Each slot's inputs, and what became of it when it was written down."""
    for text in JOURNAL.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        arrays = {name: np.array(line[name], np.float64) for name in _ARRAYS}
        inputs = SlotInputs(
            slot=line["slot"],
            fresh=np.array(line["fresh"], np.bool_),
            symbol=np.array(line["symbol"], np.int64),
            entries=line.get("entries", True),
            failed={int(plan): words for plan, words in line.get("failed", {}).items()},
            cannot_run={int(plan): words for plan, words in line.get("cannot_run", {}).items()},
            commands=[decode_command(bytes.fromhex(each)) for each in line.get("commands", ())],
            price=arrays["price"],
            signal=arrays["signal"],
            atr_fraction=arrays["atr_fraction"],
            volatility=arrays["volatility"],
        )
        yield inputs, {name: line[name] for name in ("events", "changed", "table")}
