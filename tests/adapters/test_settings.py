"""Settings: where they come from, what they refuse, and what they never show."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.env_file import EnvFileError, read_env_file
from adapters.settings import (
    NEEDED,
    SettingsError,
    load_settings,
    load_settings_or_exit,
    settings_table,
)

COMPLETE = {
    "ARTIC_DATABASE_URL": "postgres://u:word-of-postgres@db:5432/artic",
    "ARTIC_REDIS_URL": "redis://:word-of-redis@cache:6379/0",
    "ARTIC_JWT_SECRET": "word-of-jwt-" * 3,
    "ARTIC_INTERNAL_SECRET": "word-of-internal",
    "ARTIC_MASTER_KEY": "word_of_master_" + "k" * 28,
    "ARTIC_ENV_FILE": "",
}


def test_defaults() -> None:
    settings = load_settings(COMPLETE)
    assert settings.queue_redis_url == settings.redis_url
    assert settings.hub_url == "http://127.0.0.1:9000"
    assert (settings.hub_port, settings.shim_port, settings.workers) == (9000, 8000, 2)
    assert settings.price_source == "auto"
    assert settings.data_dir == Path(".artic").absolute()


def test_no_secret_shows() -> None:
    assert "word" not in repr(load_settings(COMPLETE))
    assert "9000" in repr(load_settings(COMPLETE))


def test_a_child_is_told_the_same() -> None:
    settings = load_settings(COMPLETE | {"ARTIC_HUB_HOST": "0.0.0.0", "ARTIC_WORKERS": "5"})
    assert load_settings(settings.environment()) == settings
    assert settings.hub_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize("key", sorted(NEEDED))
def test_a_missing_one_is_named(key: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key} is not set: "):
        load_settings({k: v for k, v in COMPLETE.items() if k != key})


def test_a_process_may_need_less() -> None:
    told = {key: COMPLETE[key] for key in ("ARTIC_DATABASE_URL", "ARTIC_ENV_FILE")}
    settings = load_settings(told, needs=("ARTIC_DATABASE_URL",))
    assert settings.database_url == COMPLETE["ARTIC_DATABASE_URL"]
    assert settings.jwt_secret == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ARTIC_DATABASE_URL", "redis://host/0"),
        ("ARTIC_DATABASE_URL", "postgres://host"),
        ("ARTIC_DATABASE_URL", "postgres:///artic"),
        ("ARTIC_DATABASE_URL", "postgres://host:0/artic"),
        ("ARTIC_DATABASE_URL", "postgres://host:99999/artic"),
        ("ARTIC_REDIS_URL", "redis:"),
        ("ARTIC_REDIS_URL", "unix://"),
        ("ARTIC_QUEUE_REDIS_URL", "localhost:6379"),
        ("ARTIC_JWT_SECRET", "short"),
        ("ARTIC_INTERNAL_SECRET", "short"),
        ("ARTIC_MASTER_KEY", "A" * 42),
        ("ARTIC_MASTER_KEY", "!" * 43),
        ("ARTIC_PRICE_SOURCE", "replay:"),
        ("ARTIC_HUB_HOST", "a b"),
        ("ARTIC_HUB_PORT", "0"),
        ("ARTIC_HUB_PORT", "9000.0"),
        ("ARTIC_HUB_URL", "hub:9000"),
        ("ARTIC_SHIM_PORT", "65536"),
        ("ARTIC_WORKERS", "-1"),
        ("ARTIC_WORKERS", "٣"),
        ("ARTIC_LOG_LEVEL", "loud"),
        ("ARTIC_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_one_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key} (must|has)") as caught:
        load_settings(COMPLETE | {key: value})
    assert "\n" not in str(caught.value)


@given(st.text(), st.sampled_from(sorted(COMPLETE.keys() - {"ARTIC_ENV_FILE"})))
def test_no_text_ends_in_another_error_or_shows_a_secret(text: str, key: str) -> None:
    secret = f"{text}-hush-hush"
    try:
        load_settings(COMPLETE | {key: secret}, needs=())
    except SettingsError as error:
        assert "hush" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@db/artic",
        "postgres://u:p@/artic?host=/run/artic",
        "postgres://u:p@[::1]:5432/artic",
    ],
)
def test_database_urls_that_are_right(url: str) -> None:
    assert load_settings(COMPLETE | {"ARTIC_DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url", ["unix:///run/redis.sock?db=0", "rediss://u:p@host", "redis://h:1/2"]
)
def test_redis_urls_that_are_right(url: str) -> None:
    assert load_settings(COMPLETE | {"ARTIC_REDIS_URL": url}).queue_redis_url == url


def test_an_unknown_key_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_settings(COMPLETE | {"ARTIC_HUB_PROT": "1", "ARTIC_ZZZ": "hush", "OTHER": "1"})
    assert caplog.messages == [
        "unknown setting ARTIC_HUB_PROT; did you mean ARTIC_HUB_PORT?",
        "unknown setting ARTIC_ZZZ",
    ]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("ARTIC_HUB_PORT=1111\nARTIC_SHIM_PORT=2222\nOTHER=x\n")
    told = COMPLETE | {"ARTIC_ENV_FILE": str(file), "ARTIC_HUB_PORT": "3333"}
    settings = load_settings(told)
    assert (settings.hub_port, settings.shim_port) == (3333, 2222)


def test_the_file_is_dot_env_here_if_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ARTIC_WORKERS=7\n")
    told = {key: value for key, value in COMPLETE.items() if key != "ARTIC_ENV_FILE"}
    assert load_settings(told).workers == 7
    assert load_settings(COMPLETE).workers == 2


def test_an_entry_point_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in COMPLETE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("ARTIC_HUB_PORT", "x")
    with pytest.raises(SystemExit) as caught:
        load_settings_or_exit()
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: ARTIC_HUB_PORT must be a whole number")


def test_the_file_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# a comment\n\nexport A=1\nB = two words # and a comment\nC='kept # as it is'\n"
        'D="$HOME"\nE=\nF=a#b\nA=2\n'
    )
    assert read_env_file(file) == {
        "A": "2",
        "B": "two words",
        "C": "kept # as it is",
        "D": "$HOME",
        "E": "",
        "F": "a#b",
    }


@pytest.mark.parametrize("line", ["no equals sign: hush", "1A=hush", "=hush"])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A=1\n{line}\n")
    with pytest.raises(EnvFileError, match=r"line 2 is not KEY=value$"):
        read_env_file(file)
    with pytest.raises(SettingsError, match=r"line 2 is not KEY=value$"):
        load_settings(COMPLETE | {"ARTIC_ENV_FILE": str(file)})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvFileError, match=r"^cannot read "):
        read_env_file(tmp_path / ".env")


def test_the_table_has_a_line_for_every_setting() -> None:
    lines = settings_table().splitlines()
    assert all(line.count("|") == 4 for line in lines)
    assert "| `ARTIC_HUB_PORT` | `9000` | its port |" in lines
