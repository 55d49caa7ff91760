"""The few settings of the agent endpoint, read from the environment alone.

With HUB_AGENT_ID it answers for that one agent, and takes the variables of an agent container;
without it, it is the gateway of every agent and takes the settings of the pool.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

T = TypeVar("T")

SECRET_CHARACTERS_MIN = 16
PORT_MAX = 65535


class SettingsError(Exception):
    """A setting is missing or wrong. The text is one line that names its key."""


@dataclass(frozen=True, kw_only=True)
class ShimSettings:
    """What the process was told. only_agent is None for the gateway of every agent."""

    host: str
    port: int
    hub_url: str
    internal_secret: str = field(repr=False)
    only_agent: UUID | None
    log_level: str
    log_format: str


def load_settings(environment: Mapping[str, str]) -> ShimSettings:
    """Reads them all. Raises SettingsError for the first that is missing or wrong."""
    told = {key: value.strip() for key, value in environment.items() if value.strip()}
    only_agent = _read(told, "HUB_AGENT_ID", _agent_id, "id of the agent") if (
        "HUB_AGENT_ID" in told
    ) else None
    prefix = "ARTIC_" if only_agent is None else ""
    hub_url = _read(told, f"{prefix}HUB_URL", _http_url, "address of the hub")
    secret = _read(told, f"{prefix}INTERNAL_SECRET", _secret, "what the hub lets agents in by")
    return ShimSettings(
        host=_read(told | {}, "ARTIC_SHIM_HOST", _host, "", "127.0.0.1"),
        port=_read(told, "ARTIC_SHIM_PORT", _port, "", "8000"),
        hub_url=hub_url,
        internal_secret=secret,
        only_agent=only_agent,
        log_level=_read(told, "ARTIC_LOG_LEVEL", _log_level, "", "info"),
        log_format=_read(told, "ARTIC_LOG_FORMAT", _log_format, "", "plain"),
    )


def _read(
    told: Mapping[str, str], key: str, read: Callable[[str], T], says: str, default: str = ""
) -> T:
    text = told.get(key, default)
    if not text:
        raise SettingsError(f"{key} is not set: {says}")
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
    wrong = ValueError("must look like http://host:9000")
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError:  # what urllib says may show a part of the text, which may be a password
        raise wrong from None
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port or not plain:
        raise wrong
    return text.rstrip("/")


def _secret(text: str) -> str:
    if len(text) < SECRET_CHARACTERS_MIN:
        raise ValueError(f"must have at least {SECRET_CHARACTERS_MIN} characters")
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII, since it travels in a header")
    return text


def _host(text: str) -> str:
    if re.search(r"[\s/]", text):
        raise ValueError("must be a host name or an address")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or not 1 <= int(text) <= PORT_MAX:
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
