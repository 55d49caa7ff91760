"""The demo account of a first start: made over the hub's own API, like any account.

Its password is random and stands in `.artic/demo.json`, which is written before the account is
made; so a start that broke off in the middle is taken up by the next one.
"""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adapters.embedded_place import write_private
from cli.terminal import CommandError

FILE_NAME = "demo.json"
_EMAIL = "demo@example.com"
_TIMEOUT_S = 20.0
_RISK = {"max_position_usd": 1000, "stop_loss_pct": 1.0, "take_profit_pct": 2.0, "leverage": 2}
_AGENTS = (
    ("Demo breakout", "BTC/USDT", "momentum_breakout"),
    ("Demo crossover", "ETH/USDT", "ema_crossover"),
    ("Demo reversion", "SOL/USDT", "bollinger_reversion"),
)
_CONFLICT, _UNAUTHORIZED, _UNAVAILABLE = 409, 401, 503
_SYMBOLS_S = 15.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Demo:
    """What the person is told. `agents` is how many the account has."""

    email: str
    password: str
    agents: int
    is_new: bool


async def open_demo(hub_url: str, data_dir: Path) -> Demo:
    """Makes the demo account with its agents at the first start, finds it at later ones.

    Raises CommandError when the hub does not play along.
    """
    path = data_dir / FILE_NAME
    kept = _read(path)
    is_new = not kept.get("complete")
    if not kept:
        kept = {"email": _EMAIL, "password": secrets.token_urlsafe(15), "complete": False}
        write_private(path, json.dumps(kept, indent=2) + "\n")
    try:
        async with httpx.AsyncClient(base_url=hub_url, timeout=_TIMEOUT_S, trust_env=False) as hub:
            hub.headers["Authorization"] = f"Bearer {await _token(hub, kept, is_new=is_new)}"
            agents = _answer(await hub.get("/api/agents"))
            if is_new:
                agents = await _make_agents(hub, {agent["name"] for agent in agents})
                write_private(path, json.dumps(kept | {"complete": True}, indent=2) + "\n")
    except httpx.HTTPError as error:
        raise CommandError(f"the hub does not answer: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"the hub's answer is not understood: {error!r}") from error
    return Demo(kept["email"], kept["password"], len(agents), is_new)


async def _token(hub: httpx.AsyncClient, kept: dict[str, Any], *, is_new: bool) -> str:
    login = {"email": kept["email"], "password": kept["password"]}
    if is_new:
        answer = await hub.post("/auth/register", json=login)
        if answer.status_code != _CONFLICT:
            return str(_answer(answer)["access_token"])
    answer = await hub.post("/auth/login", json=login)
    if answer.status_code == _UNAUTHORIZED:
        raise CommandError(f"{kept['email']} has another password than {FILE_NAME} says")
    return str(_answer(answer)["access_token"])


async def _make_agents(hub: httpx.AsyncClient, names: set[str]) -> list[dict[str, Any]]:
    symbols = await _symbols(hub)
    for name, symbol, strategy in _AGENTS:
        if name not in names:
            body = {
                "name": name,
                "symbol": symbol if symbol in symbols or not symbols else symbols[0],
                "strategy_name": strategy,
                "interval_seconds": 1,
                "risk_params": _RISK,
            }
            _answer(await hub.post("/api/agents", json=body))
    agents: list[dict[str, Any]] = _answer(await hub.get("/api/agents"))
    return agents


async def _symbols(hub: httpx.AsyncClient) -> list[str]:
    """What the hub has prices for; empty when it does not say. A live source may need a while."""
    deadline = time.monotonic() + _SYMBOLS_S
    while not (answer := await hub.get("/api/market/symbols")).is_success:
        if answer.status_code != _UNAVAILABLE or time.monotonic() > deadline:
            return []
        await asyncio.sleep(_POLL_S)
    told = answer.json()
    return list(told["symbols"] if isinstance(told, dict) else told)


def _answer(answer: httpx.Response) -> Any:
    if not answer.is_success:
        told = f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
        raise CommandError(f"the hub refuses the demo account: {told}: {answer.text[:200]}")
    return answer.json()


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text())
        return {key: kept[key] for key in ("email", "password", "complete")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} cannot be read; delete it for a new demo account") from error
