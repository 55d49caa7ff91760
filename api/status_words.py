"""The status word of an agent and what it means, by its record and a few fields of its row. Pure.

Those fields are one number, its state: as long as record and state are the same, so is every
answer that shows the agent.
"""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from adapters.db.agents import Agent
from engine.applying import NOT_STORED
from engine.rows import Halt, Reason, RowFlag, Rows, RowStatus

StatusWord = Literal["creating", "running", "stopped", "error"]
HaltWord = Literal["active", "reducing", "halted"]
HALT_WORDS: Mapping[int, HaltWord] = {
    int(Halt.ACTIVE): "active",
    int(Halt.REDUCING): "reducing",
    int(Halt.HALTED): "halted",
}

# Plain numbers: an attribute of an Enum is looked up by a function, ten thousand times for a list.
_FREE, _ERROR = int(RowStatus.FREE), int(RowStatus.ERROR)
_PLAN_FAILED, _CLOSING = int(Reason.PLAN_FAILED), int(RowFlag.CLOSING)

STATUS_WORDS: Mapping[int, StatusWord] = {
    int(RowStatus.RUNNING): "running",
    int(RowStatus.STOPPED): "stopped",
    _ERROR: "error",
}
STATUS_DETAILS: Mapping[int, str] = {
    int(Reason.BY_USER): "stopped by its owner",
    int(Reason.DELETED): "being deleted",
    int(Reason.SESSION_LOSS): "the session's loss reached max_session_loss_usd",
    int(Reason.DRAWDOWN): "the drawdown reached max_drawdown_pct",
    _PLAN_FAILED: "the strategy failed",
}
STOPPED_BY_OWNER: Final = STATUS_DETAILS[int(Reason.BY_USER)]

NO_STATE: Final = 0
"""Of an agent that the pool has not met yet."""


def halt_word(agent: Agent) -> HaltWord:
    """How far the agent is held back: the strictest of its own, its account's and the fleet's."""
    return HALT_WORDS[max(agent.halt, agent.fleet_halt)]


def row_of(agent: Agent, row: np.void | None) -> np.void | None:
    """The row if it is this agent's; None where the pool has not met the agent yet."""
    if row is None or row["agent_id"].tobytes() != agent.id.bytes:
        return None
    return None if row["status"] == _FREE else row


def state_of(agent: Agent, row: np.void | None) -> int:
    """The state of an agent by the row in its place."""
    row = row_of(agent, row)
    if row is None:
        return NO_STATE
    status, reason = int(row["status"]), int(row["status_reason"])
    return int(row["epoch"]) << 24 | status << 16 | reason << 8 | int(row["flags"])


def states_of(rows: Rows, ids: NDArray[np.void]) -> NDArray[np.int64]:
    """The same of many rows, each for the agent of this id (V16)."""
    states = rows["epoch"].astype(np.int64) << 24
    for field, bits in (("status", 16), ("status_reason", 8), ("flags", 0)):
        states |= rows[field].astype(np.int64) << bits
    own = (rows["agent_id"] == ids) & (rows["status"] != _FREE)
    return np.where(own, states, NO_STATE)


def word_of(agent: Agent, state: int) -> tuple[StatusWord, str | None]:
    """(status, status_detail): `creating` until the row has met what was asked for.

    A stop that was acknowledged is said at once: no later slot enters anything. An edit that is
    on its way changes no word.
    """
    if state == NO_STATE:
        return "creating", "waiting for its first slot"
    if state >> 24 < agent.asked_epoch:
        if agent.wanted == "running":
            return "creating", "waiting for its next slot"
        if agent.wanted == "failed":
            return "error", NOT_STORED
        return "stopped", STOPPED_BY_OWNER
    word = STATUS_WORDS[state >> 16 & 0xFF]
    if word == "running":
        return word, None
    reason = state >> 8 & 0xFF
    detail = STATUS_DETAILS.get(reason)
    if reason == _PLAN_FAILED and agent.status == "error" and agent.status_detail:
        detail = agent.status_detail
    if detail is not None and state & _CLOSING:
        detail += "; its position closes at the next price"
    return word, detail


def status_word(agent: Agent, row: np.void | None) -> tuple[StatusWord, str | None]:
    """The same by the row in the agent's place."""
    return word_of(agent, state_of(agent, row))


def is_outdated(agent: Agent, state: int) -> bool:
    """Whether the row knows of something that the record, as it was read, does not.

    That is an edit that was not told of, or the words of a failure.
    """
    epoch = state >> 24
    if epoch > agent.epoch:
        return True
    if state >> 16 & 0xFF != _ERROR or state >> 8 & 0xFF != _PLAN_FAILED:
        return False
    return agent.status != "error" or agent.applied_epoch != epoch


def is_unsettled(agent: Agent, state: int) -> bool:
    """Whether the record should be read again before its row is believed: the row is not the
    agent's, or knows more than the record.
    """
    return state == NO_STATE or is_outdated(agent, state)
