"""Faults that are planted into the shipped code and scripts: each takes a rule of the design out.

A fault is a piece of the shipped text and what stands there instead. Where the text is no longer
there, planting fails: a rule that has moved takes its fault with it. Which seed sees which fault
first stands in planted_faults.json; `make sim-faults` writes it.
"""

import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

from adapters import recovery
from adapters.db import creation, ledger
from adapters.shard_store import ShardStore
from engine import applying
from tests.simulation.fleet import Fleet
from workers import ledger_job

Change = tuple[str, str]
"""A piece of text, and what stands there instead."""


class Moved(AssertionError):
    """The text of a rule is not where its fault looks for it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that is taken out: in a script, or in a function."""

    name: str
    where: str | Callable[..., object]
    changes: tuple[Change, ...]


FAULTS = (
    Fault(
        "no compare-and-set",
        "commit",
        (("if head[1] ~= ARGV[1] then return {'version'} end", ""),),
    ),
    Fault(
        "rows read before head",
        ShardStore.read,
        (
            (
                "    if known is None:\n        self._ask_rows(pipe, shard)\n"
                "    answers: list[Any] = await pipe.execute()\n",
                "    answers: list[Any] = await pipe.execute()\n"
                "    answers = answers[2:] + answers[:2]\n",
            ),
            (
                "    pipe.hgetall(keys.shard_head(shard))\n",
                "    self._ask_rows(pipe, shard)\n    pipe.hgetall(keys.shard_head(shard))\n",
            ),
            ("        table = await again.execute()\n", ""),
        ),
    ),
    Fault(
        "acknowledge before write",
        ledger_job._store,
        (
            (
                "result = await ledger.store_events(pool.database, batches)",
                "[await pool.shards.trim_events(b.shard, b.entries[-1][0]) for b in batches]\n"
                "    result = await ledger.store_events(pool.database, batches)",
            ),
        ),
    ),
    Fault("no epoch check", applying._apply, (('command.epoch <= row["epoch"]', "False"),)),
    Fault(
        "trim by MAXLEN",
        "commit",
        (("-- In here, so", "redis.call('XTRIM', KEYS[4], 'MAXLEN', 6) -- so"),),
    ),
    Fault("frame made late", "frame", (("slot < now or", ""),)),
    Fault(
        "two frames for a slot",
        "frame",
        (
            ("if frame then return", "if frame and not storing then return"),
            ("slot <= tonumber(newest)", "slot < tonumber(newest)"),
            ("if not storing or ARGV[2] ~= (newest or '') then", "if not storing then"),
        ),
    ),
    Fault(
        "run_id ignored",
        "commit",
        (("if head[2] ~= ARGV[2] or run_id ~= ARGV[2] then return {'run_id'} end", ""),),
    ),
    Fault(
        "ledger without the run_id check",
        ledger._refusal,
        (("cursor.run_id != events.run_id", "False"),),
    ),
    Fault(
        "recovery not above the sequences of PostgreSQL",
        recovery._merged_rows,
        (
            (
                "ahead = is_newer(stored, rows_at(rows, index))",
                "ahead = is_newer(stored, rows_at(rows, index)) & (seen is None)",
            ),
        ),
    ),
    Fault(
        "recovery not above the slot of PostgreSQL",
        recovery.recovered_state,
        (("slot = max(seen.head.slot, progress.slot)", "slot = seen.head.slot"),),
    ),
    Fault(
        "recovery without the newer wanted states",
        recovery.recover_shard,
        (("if epoch > _epoch(state.rows, row)", "if False"),),
    ),
    Fault(
        "a commit that has not read a stop",
        "commit",
        (("if unread and", "if false and unread and"),),
    ),
    Fault(
        "an epoch that restarts with a new holder of a row",
        creation._give_rows,
        (("_TAKE_FREE,", "_TAKE_FREE.replace('epoch + 1', '1'),"),),
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
SEEDS = 500
"""A fault that none of so many seeds sees is a hole in the storms."""
_TABLE = Path(__file__).with_name("planted_faults.json")


@dataclass(frozen=True, slots=True)
class Sight:
    """The first seed, counted from 0, in which a fault is seen, and as what."""

    seed: int
    seen: str


def recorded() -> dict[str, Sight]:
    """What the last `make sim-faults` has found, by the faults' names."""
    found = json.loads(_TABLE.read_text())
    return {name: Sight(row["seed"], row["seen"]) for name, row in found.items()}


def record(sights: Mapping[str, Sight]) -> None:
    """Writes the table."""
    found = {
        fault.name: {"seed": sights[fault.name].seed, "seen": sights[fault.name].seen}
        for fault in FAULTS
        if fault.name in sights
    }
    _TABLE.write_text(json.dumps(found, indent=2) + "\n")


@contextmanager
def planted(fleet: Fleet, fault: Fault) -> Iterator[None]:
    """The fault is there as long as this lasts."""
    if isinstance(fault.where, str):
        script = fault.where
        shas = {sha for sha, name in fleet.link.names.items() if name == script}
        fleet.redis.scripts.rewrite = lambda sha, text: (
            changed(text.decode(), fault).encode() if sha in shas else text
        )
        yield
        return
    function = fault.where
    assert isinstance(function, FunctionType)
    original = function.__code__
    function.__code__ = _changed_code(function, fault)
    try:
        yield
    finally:
        function.__code__ = original


def changed(text: str, fault: Fault) -> str:
    """The text with the fault in it."""
    for old, new in fault.changes:
        if old not in text:
            raise Moved(f"{fault.name}: the rule is no longer where it was: {old}")
        text = text.replace(old, new)
    return text


def _changed_code(function: FunctionType, fault: Fault) -> CodeType:
    source = changed(textwrap.dedent(inspect.getsource(function)), fault)
    inside = compile(source, f"<{fault.name}>", "exec").co_consts
    return next(each for each in inside if isinstance(each, CodeType))
