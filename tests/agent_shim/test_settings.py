"""The settings of the agent endpoint: gateway or one agent, one clear line for what is wrong."""

from uuid import UUID

import pytest

from agent_shim.settings import OwnHub, SettingsError, ShimSettings, load_settings

ID = "0e37df36-f698-11e6-8dd4-cb9ced3df976"
SECRET = "internal-" * 4
GATEWAY = {"ARTIC_HUB_URL": "http://127.0.0.1:9000/", "ARTIC_INTERNAL_SECRET": SECRET}
CONTAINER = {"HUB_URL": "http://hub:9000", "HUB_AGENT_ID": ID, "INTERNAL_SECRET": SECRET}


def test_the_gateway() -> None:
    settings = load_settings(GATEWAY | {"SOMETHING": "ELSE"})
    assert settings == ShimSettings(
        host="127.0.0.1",
        port=8000,
        hub_url="http://127.0.0.1:9000",
        internal_secret=SECRET,
        only_agent=None,
        own_hub=None,
        log_level="info",
        log_format="plain",
    )
    assert SECRET not in repr(settings)


def test_the_gateway_where_it_is_told_to_listen() -> None:
    told = {"ARTIC_SHIM_HOST": "10.0.0.7", "ARTIC_SHIM_PORT": "8123", "ARTIC_LOG_FORMAT": "JSON"}
    settings = load_settings(GATEWAY | told)
    assert (settings.host, settings.port, settings.log_format) == ("10.0.0.7", 8123, "json")


def test_one_agent() -> None:
    settings = load_settings(CONTAINER | {"SYMBOL": "BTC/USDT"})
    assert settings.only_agent == UUID(ID)
    assert (settings.hub_url, settings.internal_secret) == ("http://hub:9000", SECRET)


def test_one_agent_takes_the_variables_of_its_container() -> None:
    both = CONTAINER | {"ARTIC_HUB_URL": "http://other:1", "ARTIC_INTERNAL_SECRET": "x" * 20}
    settings = load_settings(both)
    assert (settings.hub_url, settings.internal_secret) == ("http://hub:9000", SECRET)


def test_the_gateway_does_not_take_those_of_a_container() -> None:
    with pytest.raises(SettingsError, match=r"^ARTIC_HUB_URL is not set"):
        load_settings(CONTAINER | {"HUB_AGENT_ID": " "})


POOL = CONTAINER | {"POOL_URL": "http://pool:9000/", "POOL_SECRET": "p" * 16, "SYMBOL": "BTC/USDT"}


def test_an_agent_of_another_hub() -> None:
    settings = load_settings(POOL | {"INTERNAL_SECRET": "short"})
    assert (settings.hub_url, settings.internal_secret) == ("http://pool:9000", "p" * 16)
    assert settings.own_hub == OwnHub(url="http://hub:9000", secret="short", symbol="BTC/USDT")
    assert settings.only_agent == UUID(ID)
    assert "short" not in repr(settings) and "pppp" not in repr(settings)


@pytest.mark.parametrize("missing", sorted(POOL.keys() - {"POOL_URL"}))
def test_an_agent_of_another_hub_needs_them_all(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing} is not set: "):
        load_settings({key: value for key, value in POOL.items() if key != missing})


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "ARTIC_HUB_URL is not set: the hub's address, like http://127.0.0.1:9000"),
        (
            GATEWAY | {"ARTIC_INTERNAL_SECRET": " "},
            "ARTIC_INTERNAL_SECRET is not set: what the hub lets agents in by, "
            "at least 16 characters",
        ),
        (
            GATEWAY | {"ARTIC_INTERNAL_SECRET": "short"},
            "ARTIC_INTERNAL_SECRET must have at least 16 characters",
        ),
        (
            GATEWAY | {"ARTIC_INTERNAL_SECRET": "é" * 20},
            "ARTIC_INTERNAL_SECRET must be printable ASCII, since it travels in a header",
        ),
        (
            {"HUB_AGENT_ID": ID},
            "HUB_URL is not set: the hub's address, like http://127.0.0.1:9000",
        ),
        (
            CONTAINER | {"INTERNAL_SECRET": ""},
            "INTERNAL_SECRET is not set: what the hub lets agents in by, at least 16 characters",
        ),
        (CONTAINER | {"HUB_AGENT_ID": "seven"}, "HUB_AGENT_ID must be a UUID"),
        (
            GATEWAY | {"ARTIC_SHIM_PORT": "0"},
            "ARTIC_SHIM_PORT must be a whole number from 1 to 65535",
        ),
        (
            GATEWAY | {"ARTIC_SHIM_PORT": "٣"},
            "ARTIC_SHIM_PORT must be a whole number from 1 to 65535",
        ),
        (
            GATEWAY | {"ARTIC_SHIM_HOST": "http://x"},
            "ARTIC_SHIM_HOST must be a host name or an address",
        ),
        (
            GATEWAY | {"ARTIC_LOG_LEVEL": "loud"},
            "ARTIC_LOG_LEVEL must be one of debug, info, warning, error",
        ),
        (GATEWAY | {"ARTIC_LOG_FORMAT": "xml"}, "ARTIC_LOG_FORMAT must be one of plain, json"),
    ],
)
def test_one_line_names_what_is_wrong(environment: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "url",
    [
        "hub",
        "hub:9000",
        "ftp://hub",
        "http://",
        "http://hub:99999",
        "http://hub:0",
        "http://[::1",
        "http://user:password@hub",
        "http://hub/?a=b",
        "http://hub/#a",
        "http://a b",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(GATEWAY | {"ARTIC_HUB_URL": url})
    assert str(caught.value) == "ARTIC_HUB_URL must look like http://host:9000"
