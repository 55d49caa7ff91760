"""Bodies that describe an agent: fields, defaults and spellings; risk_params.py has its risk.

What the contract knows but this version does not serve is refused by name.
"""

import difflib
import unicodedata
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from api.bodies import Body, Check, walk_fields
from api.errors import FieldError, Problem, bad_input
from api.risk_params import INTERVAL_S_MAX, RiskParams
from strategies import catalog

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d"]

SYMBOL_CHARACTERS_MAX = 32
NAME_CHARACTERS_MAX = 100
QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC")
QUOTE_BY_DEFAULT = "USDT"
NEAREST_MAX = 3
NEAREST_LIKENESS = 0.75
LIVE_NOT_BUILT = "live_mode is not available yet: leave it out for paper trading"
SEE_SYMBOLS = "see GET /api/market/symbols"
UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls, formats (that turn the direction of writing), separators."""
JOINERS = "\u200c\u200d"
"""Formats that some scripts and emoji need."""


def readable(value: str) -> str | None:
    """Any language and emoji; nothing that breaks or turns a line of a log or a page."""
    kinds = {unicodedata.category(each) for each in value if each not in JOINERS}
    if kinds & UNREADABLE:
        return "expected no control characters"
    visible = any(kind[0] not in "ZC" for kind in kinds)
    return None if visible else "expected at least one visible character"


class CreateAgent(Body, frozen=True, kw_only=True):
    """The body of POST /api/agents."""

    not_built = frozenset({"llm"})
    checks: ClassVar[Mapping[str, Check]] = {"name": readable}

    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]
    strategy_name: Annotated[str, Meta(min_length=1, max_length=64)]
    interval_seconds: Annotated[int, Meta(ge=1, le=INTERVAL_S_MAX)] = 1
    live_mode: bool = False
    risk_params: RiskParams = RiskParams()
    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)] | None = None
    timeframe: Timeframe = "1m"
    strategy_params: dict[str, Any] = msgspec.field(default_factory=dict)
    auto_start: bool = True


class AgentConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is to do, checked and written in one way.

    strategy_params holds every parameter, snapped to the catalog's grid, threshold included.
    """

    name: str
    symbol: str
    timeframe: Timeframe
    strategy_name: str
    strategy_params: dict[str, catalog.ParamValue]
    interval_seconds: int
    risk_params: RiskParams
    auto_start: bool


def spell_symbol(given: str, known: Collection[str] = ()) -> str | None:
    """`BTC/USDT` for BTC/USDT, BTCUSDT, btc-usdt and BTC; None for what names no pair.

    known: symbols that have prices. Of two ways to read a word (WBTC: W in BTC, or WBTC in USDT)
    the one that is known counts, else the first.
    """
    if not given.isascii():
        return None  # before upper(), which makes SS of ß
    text = given.strip().upper()
    for separator in ("/", "-", "_"):
        if separator in text:
            base, _, quote = text.partition(separator)
            return f"{base}/{quote}" if base.isalnum() and quote.isalnum() else None
    if not text.isalnum():
        return None
    readings = [
        f"{text[: -len(quote)]}/{quote}"
        for quote in QUOTES
        if text.endswith(quote) and len(text) > len(quote)
    ]
    readings.append(f"{text}/{QUOTE_BY_DEFAULT}")
    return next((reading for reading in readings if reading in known), readings[0])


def read_configuration(
    value: object, symbols: Collection[str], no_live_mode: str = LIVE_NOT_BUILT
) -> AgentConfiguration:
    """The configuration that a create body asks for, `symbols` being those that have prices.

    Raises:
        Problem: 422 with every bad field, 409 for live_mode, with why it is not served.
    """
    body, errors = walk_fields(value, CreateAgent)
    given = value if isinstance(value, dict) else {}
    bad = {error.field for error in errors}
    symbol = _known_symbol(given.get("symbol"), symbols, bad, errors)
    params = _known_params(given, bad, errors)
    if errors or body is None:
        raise bad_input(errors)
    if body.live_mode:
        raise Problem(409, no_live_mode)
    return AgentConfiguration(
        name=body.name or f"{body.strategy_name} {symbol}",
        symbol=symbol,
        timeframe=body.timeframe,
        strategy_name=body.strategy_name,
        strategy_params=params,
        interval_seconds=body.interval_seconds,
        risk_params=body.risk_params,
        auto_start=body.auto_start,
    )


def patched(body: Mapping[str, object], patch: object) -> object:
    """A create body after a merge patch (RFC 7396): null puts a field back to its default.

    Another strategy begins with its own defaults, whatever the parameters of the one before were;
    only the hours and days in which the agent may trade stay.

    Raises:
        Problem: 422 for what is no object, and for auto_start, which is asked for only once.
    """
    if not isinstance(patch, dict):
        raise bad_input([FieldError("body", "expected an object")])
    if "auto_start" in patch:
        raise bad_input([FieldError("auto_start", "only when an agent is created")])
    before = dict(body)
    if patch.get("strategy_name", before["strategy_name"]) != before["strategy_name"]:
        before["strategy_params"] = catalog.filters_of(before.get("strategy_params"))
    merged = _merged(before, patch, CreateAgent)
    params = patch.get("strategy_params")
    if isinstance(params, dict):
        # A null that names no parameter stays in, too.
        known = _params_of(patch.get("strategy_name", before["strategy_name"]))
        merged["strategy_params"] |= {name: None for name in params if name not in known}
    return merged


def _params_of(strategy_name: object) -> Collection[str]:
    try:
        return catalog.param_names(str(strategy_name))
    except catalog.UnknownStrategy:
        return ()


def _merged(body: object, patch: Mapping[str, Any], kind: type[Body] | None) -> dict[str, Any]:
    """kind: what the object stands for, where its fields are known.

    null for an unknown field stays in, and is refused with the other unknown ones.
    """
    merged = dict(body) if isinstance(body, dict) else {}
    fields = {} if kind is None else {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    for name, value in patch.items():
        inner = fields.get(name)
        if value is None and (kind is None or name in fields):
            merged.pop(name, None)
        else:
            is_body = isinstance(inner, type) and issubclass(inner, Body)
            below = inner if is_body else None
            is_patch = isinstance(value, dict)
            merged[name] = _merged(merged.get(name), value, below) if is_patch else value
    return merged


def _known_symbol(
    given: object, symbols: Collection[str], bad: set[str], errors: list[FieldError]
) -> str:
    if not isinstance(given, str) or "symbol" in bad:
        return ""
    symbol = spell_symbol(given, symbols)
    if symbol is None:
        errors.append(FieldError("symbol", "expected a pair like BTC/USDT"))
        return ""
    if symbol not in symbols:
        errors.append(FieldError("symbol", no_prices_for(symbol, symbols)))
    return symbol


def no_prices_for(symbol: str, symbols: Collection[str]) -> str:
    """What to tell somebody who asks for a symbol that no source has, with those nearest to it."""
    base, _, quote = symbol.partition("/")
    bases = {other.partition("/")[0] for other in symbols}
    near: list[str] = []
    for other in difflib.get_close_matches(base, bases, n=NEAREST_MAX, cutoff=NEAREST_LIKENESS):
        same_quote = f"{other}/{quote}"
        of_base = [s for s in symbols if s.partition("/")[0] == other]
        near += [same_quote] if same_quote in of_base else of_base
    hint = f"did you mean {' or '.join(near[:NEAREST_MAX])}?" if near else SEE_SYMBOLS
    return f"no prices for {symbol}; {hint}"


def _known_params(
    given: dict[str, object], bad: set[str], errors: list[FieldError]
) -> dict[str, catalog.ParamValue]:
    name, params = given.get("strategy_name"), given.get("strategy_params", {})
    if not isinstance(name, str) or "strategy_name" in bad:
        return {}
    try:
        strategy = catalog.get(name)
        return catalog.snap_params(strategy, params if isinstance(params, dict) else {})
    except catalog.UnknownStrategy as error:
        hint = f"did you mean {error.nearest[0]}?" if error.nearest else "see GET /api/strategies"
        errors.append(FieldError("strategy_name", f"no such strategy; {hint}"))
    except catalog.InvalidParams as error:
        errors.extend(
            FieldError(f"strategy_params.{problem.field[:64]}", problem.message)
            for problem in error.problems
        )
    return {}
