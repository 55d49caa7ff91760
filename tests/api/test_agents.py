"""Agents over REST, without a pool: what is stored, what is in the inbox, what is said."""

import pytest

from api.hub import Hub
from engine.commands import Wanted, decode_command
from tests.api.conftest import Account

CREATE = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}


async def test_create(alice: Account, hub: Hub) -> None:
    answer = await alice.http.post("/api/agents", json=CREATE)
    assert answer.status_code == 201, answer.text
    print(answer.json())
