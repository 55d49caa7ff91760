"""The settings of every process: one frozen value, built once from the environment and `.env`.

The environment wins over `.env`. A wrong or missing value is a SettingsError whose one line names
the key, never the value of a secret. The table in the README is made from the fields below
(`settings_table`).
"""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from adapters import settings_values as read
from adapters.env_file import EnvFileError, read_env_file

log = logging.getLogger(__name__)

_Reader = Callable[[str], object]
_PREFIX = "ARTIC_"
_ENV_FILE = ".env"
PYTH_URL = "https://pyth.dourolabs.app/hermes,https://hermes.pyth.network"
"""The servers of Pyth itself, which want a key: the present one, and the one before."""
_EVERY_IPV4 = "0.0.0.0"
ENV_FILE_KEY = "ARTIC_ENV_FILE"
_BESIDE_SETTINGS = {
    ENV_FILE_KEY: (_ENV_FILE, "file with settings, read if it is there; empty: none"),
    "ARTIC_TEST_DATA": ("../shared/data", "folder with recorded candles, for tests only"),
}


class SettingsError(Exception):
    """A setting is missing or wrong. The text is one line that names its key."""


def _setting(
    key: str,
    read: _Reader,
    says: str,
    *,
    default: str = "",
    leans_on: Callable[[Mapping[str, Any]], str] | None = None,
    hidden: bool = False,
) -> Any:
    """One setting: its key, what reads its text (ValueError when it can't), and what the README
    says about it.

    `default` is text, read like any other; `leans_on` makes the value out of the settings above
    it when the key is not set. A setting with neither has to be set. `hidden` ones never show in
    repr or in an error.
    """
    told = {"key": key, "read": read, "says": says, "default": default, "leans_on": leans_on}
    return field(repr=not hidden, metadata={**told, "hidden": hidden})


def _hub_address(host: str, port: int) -> str:
    """The hub's address for a process of the same machine."""
    name = {_EVERY_IPV4: "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process was told. A needed one that the process said it does without is empty."""

    database_url: str = _setting(
        "ARTIC_DATABASE_URL",
        read.database_url,
        "PostgreSQL 16 or newer: `postgres://user:password@host:5432/name`",
        hidden=True,
    )
    redis_url: str = _setting(
        "ARTIC_REDIS_URL",
        read.redis_url,
        "Redis or Valkey 6.2 or newer, for state: `redis://host:6379/0`",
        hidden=True,
    )
    queue_redis_url: str = _setting(
        "ARTIC_QUEUE_REDIS_URL",
        read.redis_url,
        "Redis of the job queues; the same one if not set",
        leans_on=lambda values: str(values["redis_url"]),
        hidden=True,
    )
    jwt_secret: str = _setting(
        "ARTIC_JWT_SECRET",
        read.secret(32),
        "signs access tokens; at least 32 characters",
        hidden=True,
    )
    jwt_secret_previous: str = _setting(
        "ARTIC_JWT_SECRET_PREVIOUS",
        read.secret(32),
        "the secret before it: its tokens are good until they expire (15 minutes)",
        leans_on=lambda values: "",
        hidden=True,
    )
    internal_secret: str = _setting(
        "ARTIC_INTERNAL_SECRET",
        read.secret(16),
        "what agents outside show to the hub; at least 16 characters",
        hidden=True,
    )
    master_key: str = _setting(
        "ARTIC_MASTER_KEY",
        read.master_key,
        "encrypts stored secrets; 32 random bytes in base64url",
        hidden=True,
    )
    price_source: str = _setting(
        "ARTIC_PRICE_SOURCE",
        read.price_source,
        "`pyth`, `exchange`, `simulated`, `replay:FILE[@SPEED][,FILE...]`, or `auto`: pyth if its"
        " key is set, else exchange if it answers within 5 s, else simulated",
        default="auto",
    )
    pyth_url: str = _setting(
        "ARTIC_PYTH_URL",
        read.http_urls,
        "Hermes servers, tried in turn",
        default=PYTH_URL,
    )
    pyth_api_key: str = _setting(
        "ARTIC_PYTH_API_KEY",
        read.secret(1),
        "their key; a server of your own may do without",
        leans_on=lambda values: "",
        hidden=True,
    )
    exchange: str = _setting(
        "ARTIC_EXCHANGE",
        read.exchange_name,
        "whose prices and candles `exchange` means, by its name in ccxt",
        default="hashkey",
    )
    exchange_url: str = _setting(
        "ARTIC_EXCHANGE_URL",
        read.http_url,
        "another server that speaks the exchange's protocol",
        leans_on=lambda values: "",
    )
    twelvedata_url: str = _setting(
        "ARTIC_TWELVEDATA_URL",
        read.http_url,
        "where candles are fetched",
        default="https://api.twelvedata.com",
    )
    twelve_data_api_key: str = _setting(
        "ARTIC_TWELVE_DATA_API_KEY",
        read.secret(1),
        "its key; without one candles come from the exchange, or are built from prices",
        leans_on=lambda values: "",
        hidden=True,
    )
    price_jump_pct: float = _setting(
        "ARTIC_PRICE_JUMP_PCT",
        read.number(0.1, 1000),
        "a streamed price that changes by more in one update waits until others confirm it",
        default="20",
    )
    hub_host: str = _setting(
        "ARTIC_HUB_HOST", read.host, "where the hub listens", default="127.0.0.1"
    )
    hub_port: int = _setting(
        "ARTIC_HUB_PORT", read.whole_number(1, 65535), "its port", default="9000"
    )
    hub_url: str = _setting(
        "ARTIC_HUB_URL",
        read.http_url,
        "how others reach the hub; made from its host and port if not set",
        leans_on=lambda values: _hub_address(values["hub_host"], values["hub_port"]),
    )
    shim_host: str = _setting(
        "ARTIC_SHIM_HOST",
        read.host,
        "where the agent endpoint listens; it asks for no credential",
        default="127.0.0.1",
    )
    shim_port: int = _setting(
        "ARTIC_SHIM_PORT", read.whole_number(1, 65535), "its port", default="8000"
    )
    agent_shim: str = _setting(
        "ARTIC_AGENT_SHIM",
        read.choice("none", "gateway", "docker"),
        "`none`, `gateway`: the hub makes no containers, the gateway answers for every agent;"
        " `docker`: the hub keeps a container `artic-agent-{id}` for each agent",
        default="none",
    )
    shim_network: str = _setting(
        "ARTIC_SHIM_NETWORK",
        read.container_name,
        "with `docker`: the network of these containers, on which the hub is, too",
        default="artic-net",
    )
    shim_image: str = _setting(
        "ARTIC_SHIM_IMAGE",
        read.image_name,
        "with `docker`: their image, from deploy/shim.Dockerfile",
        default="artic-shim",
    )
    pool_secret: str = _setting(
        "ARTIC_POOL_SECRET",
        read.secret(16),
        "what agent containers of other hubs show as POOL_SECRET; with it they reach the agents of"
        " ARTIC_SHIM_OWNER and no others",
        leans_on=lambda values: "",
        hidden=True,
    )
    shim_owner: str = _setting(
        "ARTIC_SHIM_OWNER",
        read.email,
        "e-mail address of the account that owns the agents of other hubs",
        leans_on=lambda values: "",
    )
    callback_hubs: str = _setting(
        "ARTIC_CALLBACK_HUBS",
        read.http_urls,
        "those hubs (their HUB_URL), separated by commas; nothing is sent to any other address",
        leans_on=lambda values: "",
    )
    requests_per_minute: int = _setting(
        "ARTIC_REQUESTS_PER_MINUTE",
        read.whole_number(0, 10**9),
        "of one user, or of one address without a credential; 0: no limit. This, agents and plans "
        "are defaults: operators set others for an account",
        default="6000",
    )
    sockets_per_user: int = _setting(
        "ARTIC_SOCKETS_PER_USER",
        read.whole_number(0, 10**6),
        "WebSockets that one user may have open at one hub process; 0: no limit",
        default="1000",
    )
    agents_per_user: int = _setting(
        "ARTIC_AGENTS_PER_USER",
        read.whole_number(0, 10**7),
        "agents that a user may have; 0: no limit",
        default="10000",
    )
    plans_per_user: int = _setting(
        "ARTIC_PLANS_PER_USER",
        read.whole_number(0, 10**6),
        "plans (symbol, timeframe, strategy, parameters) that a user may make in all; 0: no limit",
        default="2000",
    )
    attempts_per_account: int = _setting(
        "ARTIC_ATTEMPTS_PER_ACCOUNT",
        read.whole_number(1, 10**4),
        "logins (and registrations) a minute for one e-mail address",
        default="10",
    )
    attempts_per_address: int = _setting(
        "ARTIC_ATTEMPTS_PER_ADDRESS",
        read.whole_number(1, 10**4),
        "logins (and registrations) a minute from one network address",
        default="60",
    )
    workers: int = _setting(
        "ARTIC_WORKERS", read.whole_number(1, 256), "worker processes of `artic up`", default="2"
    )
    journal_hours: int = _setting(
        "ARTIC_JOURNAL_HOURS",
        read.whole_number(1, 24 * 366),
        "how long decisions can be replayed: what each slot saw is kept so long",
        default="48",
    )
    row_schema: int = _setting(
        "ARTIC_ROW_SCHEMA",
        read.whole_number(1, 2),
        "layout of an agent's record: 1 while processes of a version before 2 still run",
        default="2",
    )
    data_dir: Path = _setting(
        "ARTIC_DATA_DIR", read.folder, "where `artic up` keeps everything", default=".artic"
    )
    log_level: str = _setting(
        "ARTIC_LOG_LEVEL",
        read.choice("debug", "info", "warning", "error"),
        "the least level that is logged",
        default="info",
    )
    log_format: str = _setting(
        "ARTIC_LOG_FORMAT", read.choice("plain", "json"), "`plain` or `json`", default="plain"
    )

    @property
    def jwt_secrets(self) -> list[str]:
        """The signing secret first, then the one that it has replaced."""
        return [secret for secret in (self.jwt_secret, self.jwt_secret_previous) if secret]

    @property
    def own_hub_url(self) -> str:
        """The hub's address for a process of the same machine, whatever hub_url says."""
        return _hub_address(self.hub_host, self.hub_port)

    def environment(self) -> dict[str, str]:
        """These settings as a child process takes them: complete, so that it reads no file."""
        told = {str(each.metadata["key"]): str(getattr(self, each.name)) for each in fields(self)}
        return {key: value for key, value in told.items() if value} | {ENV_FILE_KEY: ""}


NEEDED: frozenset[str] = frozenset(
    each.metadata["key"]
    for each in fields(Settings)
    if not each.metadata["default"] and not each.metadata["leans_on"]
)
"""Keys that have no default."""


def load_settings(
    environment: Mapping[str, str] | None = None, *, needs: Collection[str] = NEEDED
) -> Settings:
    """Reads all settings from a mapping (default: the environment), and below it from `.env`.

    `needs` are the keys that this process cannot do without; one that uses fewer names them.
    Raises SettingsError.
    """
    told = _with_env_file(os.environ if environment is None else environment)
    _warn_about_unknown(told)
    values: dict[str, Any] = {}
    for each in fields(Settings):
        value = _value(each, told, needs)
        values[each.name] = _leaning(each, values) if value == "" else value
    settings = Settings(**values)
    if settings.pool_secret and settings.pool_secret == settings.internal_secret:
        raise SettingsError("ARTIC_POOL_SECRET must not be ARTIC_INTERNAL_SECRET, which opens more")
    return settings


def load_settings_or_exit(*, needs: Collection[str] = NEEDED) -> Settings:
    """For the entry point of a process: one line on stderr and exit status 1 when a setting is
    wrong.
    """
    try:
        return load_settings(needs=needs)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def settings_table() -> str:
    """The README's table: Markdown, one line for each setting."""
    rows = [
        (each.metadata["key"], each.metadata["default"], each.metadata["says"])
        for each in fields(Settings)
    ] + [(key, default, says) for key, (default, says) in _BESIDE_SETTINGS.items()]
    lines = [f"| `{key}` | {default and f'`{default}`'} | {says} |" for key, default, says in rows]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *lines]) + "\n"


def _with_env_file(environment: Mapping[str, str]) -> dict[str, str]:
    name = environment.get(ENV_FILE_KEY, _ENV_FILE)
    try:
        below = read_env_file(Path(name)) if name and Path(name).is_file() else {}
    except EnvFileError as error:
        raise SettingsError(str(error)) from error
    both = below | dict(environment)
    return {key: value for key, value in both.items() if key.startswith(_PREFIX)}


def _warn_about_unknown(told: Mapping[str, str]) -> None:
    known = [str(each.metadata["key"]) for each in fields(Settings)] + list(_BESIDE_SETTINGS)
    for key in sorted(told.keys() - set(known)):
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        log.warning("unknown setting %s%s", key, f"; did you mean {near[0]}?" if near else "")


def _value(each: Field[Any], told: Mapping[str, str], needs: Collection[str]) -> Any:
    about = each.metadata
    text = told.get(about["key"], "").strip() or about["default"]
    if not text:
        if about["key"] in needs:
            raise SettingsError(f"{about['key']} is not set: {about['says']}")
        return ""
    try:
        return about["read"](text)
    except ValueError as error:
        shown = "" if about["hidden"] else f", not {text!r}"
        raise SettingsError(f"{about['key']} {error}{shown}") from None


def _leaning(each: Field[Any], above: Mapping[str, Any]) -> str:
    return each.metadata["leans_on"](above) if each.metadata["leans_on"] else ""


if __name__ == "__main__":
    print(settings_table(), end="")
