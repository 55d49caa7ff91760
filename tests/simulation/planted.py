"""Faults that are planted into the shipped code and scripts: each takes a rule of the design out.

A fault is a piece of the shipped text and what stands there instead. Where the text is no longer
there, planting fails: a rule that has moved takes its fault with it.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType

from adapters import recovery
from adapters.db import creation, ledger
from adapters.shard_store import ShardStore
from engine import applying
from tests.simulation.fleet import Fleet
from workers import ledger_job

Change = tuple[str, str]
"""A piece of text, and what stands there instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that is taken out: in a script, or in a function."""

    name: str
    where: str | Callable[..., object]
    changes: tuple[Change, ...]
    found_by: int | None
    """A seed that finds it, for the suite; None where none is known of the storms as they
    are drawn now. `make sim-faults` looks for it."""


FAULTS = (
    Fault(
        "no compare-and-set",
        "commit",
        (("if head[1] ~= ARGV[1] then return {'version'} end", ""),),
        None,
    ),
    Fault(
        "rows read before head",
        ShardStore.read,
        (
            (
                "    if known is None:\n        self._ask_rows(pipe, shard)\n"
                "    answers: list[Any] = await pipe.execute()\n",
                "    answers: list[Any] = await pipe.execute()\n"
                "    if known is None:\n        answers = answers[2:] + answers[:2]\n",
            ),
            (
                "    pipe.hgetall(keys.shard_head(shard))\n",
                "    if known is None:\n        self._ask_rows(pipe, shard)\n"
                "    pipe.hgetall(keys.shard_head(shard))\n",
            ),
        ),
        None,
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
        5,
    ),
    Fault("no epoch check", applying._apply, (('command.epoch <= row["epoch"]', "False"),), 2),
    Fault(
        "trim by MAXLEN",
        "commit",
        (("-- In here, so", "redis.call('XTRIM', KEYS[4], 'MAXLEN', 6) -- so"),),
        None,
    ),
    Fault("frame made late", "frame", (("slot < now or", ""),), None),
    Fault(
        "two frames for a slot",
        "frame",
        (
            ("if frame then return", "if frame and not storing then return"),
            ("slot <= tonumber(newest)", "slot < tonumber(newest)"),
            ("if not storing or ARGV[2] ~= (newest or '') then", "if not storing then"),
        ),
        None,
    ),
    Fault(
        "run_id ignored",
        "commit",
        (("if head[2] ~= ARGV[2] or run_id ~= ARGV[2] then return {'run_id'} end", ""),),
        1,
    ),
    Fault(
        "ledger without the run_id check",
        ledger._refusal,
        (("cursor.run_id != events.run_id", "False"),),
        None,
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
        None,
    ),
    Fault(
        "recovery not above the slot of PostgreSQL",
        recovery.recovered_state,
        (("slot = max(seen.head.slot, progress.slot)", "slot = seen.head.slot"),),
        None,
    ),
    Fault(
        "recovery without the newer wanted states",
        recovery.recover_shard,
        (("if agent.epoch > _epoch(state.rows, agent.row)", "if False"),),
        None,
    ),
    Fault(
        "a commit that has not read a stop",
        "commit",
        (("if unread and", "if false and unread and"),),
        1,
    ),
    Fault(
        "an epoch that restarts with a new holder of a row",
        creation._give_rows,
        (("_TAKE_FREE,", "_TAKE_FREE.replace('epoch + 1', '1'),"),),
        None,
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


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
        assert old in text, f"{fault.name}: the rule is no longer where it was: {old}"
        text = text.replace(old, new)
    return text


def _changed_code(function: FunctionType, fault: Fault) -> CodeType:
    source = changed(textwrap.dedent(inspect.getsource(function)), fault)
    inside = compile(source, f"<{fault.name}>", "exec").co_consts
    return next(each for each in inside if isinstance(each, CodeType))
