"""Readers of single settings: text in, value out, ValueError with the rest of the sentence "KEY
..." otherwise.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_MASTER_KEY_BYTES = 32
_PRICE_SOURCES = re.compile(r"auto|pyth|exchange|simulated(:[0-9]+)?|replay:.+")


def database_url(text: str) -> str:
    """A PostgreSQL URL; a socket's folder is given as `?host=/folder`."""
    parts = _split(text)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ValueError("must look like postgres://user:password@host:5432/name")
    if not parts.hostname and "host=" not in parts.query:
        raise ValueError("must name a host: postgres://user:password@host:5432/name")
    return text


def redis_url(text: str) -> str:
    """A Redis URL, over TCP, TLS or a socket."""
    parts = _split(text)
    named = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in {"redis", "rediss", "unix"} or not named:
        raise ValueError(
            "must look like redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket"
        )
    return text


def http_url(text: str) -> str:
    """The address of an HTTP server, without a slash at its end."""
    parts = _split(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must look like http://host:9000")
    return text.rstrip("/")


def http_urls(text: str) -> str:
    """Addresses of HTTP servers, separated by commas."""
    return ",".join(http_url(part.strip()) for part in text.split(","))


def email(text: str) -> str:
    """An e-mail address, as far as settings care."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("must be an e-mail address")
    return text


def price_source(text: str) -> str:
    """The kind of source is checked here, its details by the source itself."""
    if not _PRICE_SOURCES.fullmatch(text):
        raise ValueError(
            "must be auto, pyth, exchange, simulated, simulated:SEED or replay:FILE[@SPEED]"
        )
    return text


def exchange_name(text: str) -> str:
    """A name as ccxt has them; whether it has this one is checked where ccxt is loaded."""
    if not re.fullmatch(r"[a-z0-9]{2,30}", text):
        raise ValueError("must be the name of an exchange in ccxt, such as hashkey or kraken")
    return text


def host(text: str) -> str:
    """A name or address to listen on."""
    if re.search(r"[\s/]", text):
        raise ValueError("must be a host name or an address")
    return text


def container_name(text: str) -> str:
    """A name of a Docker network or container."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", text):
        raise ValueError("must be a name of letters, digits, _ . and -")
    return text


def image_name(text: str) -> str:
    """A name of an image, with a registry and a tag or digest if need be."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.:/@-]{0,254}", text):
        raise ValueError("must be the name of an image")
    return text


def folder(text: str) -> Path:
    """A folder, made absolute so that child processes mean the same one."""
    return Path(text).expanduser().absolute()


def master_key(text: str) -> str:
    """32 random bytes as base64url, with or without padding."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _MASTER_KEY_BYTES:
        raise ValueError("must be 32 random bytes in base64url (43 characters)")
    return text


def secret(length_min: int) -> Callable[[str], str]:
    """A reader of secrets that are at least so long."""

    def read(text: str) -> str:
        if len(text) < length_min:
            raise ValueError(f"must have at least {length_min} characters")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("must be printable ASCII: some of them travel in headers")
        return text

    return read


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """A reader of whole numbers between two bounds, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not smallest <= int(text) <= largest:
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(text)

    return read


def number(smallest: float, largest: float) -> Callable[[str], float]:
    """A reader of numbers between two bounds, both included."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not smallest <= value <= largest:
            raise ValueError(f"must be a number from {smallest:g} to {largest:g}")
        return value

    return read


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one of some words, in whatever case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return read


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        if parts.port == 0:
            raise ValueError("port 0")
    except ValueError:  # what urllib says may show a part of the text, which may be a password
        raise ValueError("has a wrong host or port") from None
    return parts
