"""The few settings of the agent endpoint, read from the environment alone.

With HUB_AGENT_ID it answers for that one agent, and takes the variables of an agent container;
without it, it is the gateway of every agent and takes the settings of the pool. With POOL_URL, too,
HUB_URL is another hub: the agent runs in the pool, and that hub is told of it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

T = TypeVar("T")

SECRET_CHARACTERS_MIN = 16
PORT_MAX = 65_535

_DEFAULTS = {
    "ARTIC_SHIM_HOST": "127.0.0.1",
    "ARTIC_SHIM_PORT": "8000",
    "ARTIC_LOG_LEVEL": "info",
    "ARTIC_LOG_FORMAT": "plain",
}
_NEEDED = {
    "HUB_URL": "the hub's address, like http://127.0.0.1:9000",
    "INTERNAL_SECRET": "what the hub lets agents in by, at least 16 characters",
    "POOL_SECRET": "what the pool lets agents of other hubs in by, at least 16 characters",
    "HUB_AGENT_ID": "the agent's id at the hub of HUB_URL",
    "SYMBOL": "what the agent trades, like BTC/USDT",
}


class SettingsError(Exception):
    """A setting is missing or wrong. The text is one line that names its key."""


@dataclass(frozen=True, kw_only=True)
class OwnHub:
    """The hub that an agent in the pool belongs to, and how it lets agents in."""

    url: str
    secret: str = field(repr=False)
    symbol: str


@dataclass(frozen=True, kw_only=True)
class ShimSettings:
    """What the process was told. only_agent is None for the gateway of every agent.

    hub_url is whom calls are passed to. own_hub is None unless that is a pool, and the agent
    belongs to another hub.
    """

    host: str
    port: int
    hub_url: str
    internal_secret: str = field(repr=False)
    only_agent: UUID | None
    own_hub: OwnHub | None
    log_level: str
    log_format: str


def load_settings(environment: Mapping[str, str]) -> ShimSettings:
    """Reads them all. Raises SettingsError for the first that is missing or wrong."""
    told = {key: value.strip() for key, value in environment.items() if value.strip()}
    only_agent, own_hub = None, None
    to_url, to_secret = "ARTIC_HUB_URL", "ARTIC_INTERNAL_SECRET"
    if "HUB_AGENT_ID" in told or "POOL_URL" in told:
        only_agent = _read(told, "HUB_AGENT_ID", _agent_id)
        to_url, to_secret = "HUB_URL", "INTERNAL_SECRET"
    if "POOL_URL" in told:
        own_hub = OwnHub(
            url=_read(told, "HUB_URL", _http_url),
            secret=_read(told, "INTERNAL_SECRET", _header_text),
            symbol=_read(told, "SYMBOL", str),
        )
        to_url, to_secret = "POOL_URL", "POOL_SECRET"
    told = _DEFAULTS | told
    return ShimSettings(
        host=_read(told, "ARTIC_SHIM_HOST", _host),
        port=_read(told, "ARTIC_SHIM_PORT", _port),
        hub_url=_read(told, to_url, _http_url),
        internal_secret=_read(told, to_secret, _secret),
        only_agent=only_agent,
        own_hub=own_hub,
        log_level=_read(told, "ARTIC_LOG_LEVEL", _log_level),
        log_format=_read(told, "ARTIC_LOG_FORMAT", _log_format),
    )


def _read(told: Mapping[str, str], key: str, read: Callable[[str], T]) -> T:
    text = told.get(key)
    if text is None:
        raise SettingsError(f"{key} is not set: {_NEEDED[key.removeprefix('ARTIC_')]}")
    try:
        return read(text)
    except ValueError as error:
        raise SettingsError(f"{key} {error}") from None


def _agent_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("must be a UUID") from None


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not re.fullmatch(r"[^\s?#@]+", text):
        raise ValueError("must look like http://host:9000") from None
    return text.rstrip("/")


def _secret(text: str) -> str:
    if len(text) < SECRET_CHARACTERS_MIN:
        raise ValueError(f"must have at least {SECRET_CHARACTERS_MIN} characters")
    return _header_text(text)


def _header_text(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII, since it travels in a header")
    return text


def _host(text: str) -> str:
    if re.search(r"[\s/]", text):
        raise ValueError("must be a host name or an address")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= PORT_MAX:
        raise ValueError(f"must be a whole number from 1 to {PORT_MAX}")
    return int(text)


def _log_level(text: str) -> str:
    return _choice(text, "debug", "info", "warning", "error")


def _log_format(text: str) -> str:
    return _choice(text, "plain", "json")


def _choice(text: str, *words: str) -> str:
    if text.lower() not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return text.lower()
