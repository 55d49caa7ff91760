"""Credentials that were good before: for how long they are believed."""

from uuid import UUID, uuid4

import pytest

from api import callers
from api.callers import Caller, Callers


class Logins:
    """Logins that have ended."""

    def __init__(self) -> None:
        self.ended: set[UUID] = set()

    def has_ended(self, family_id: UUID) -> bool:
        """Whether it has."""
        return family_id in self.ended


def test_a_long_way_to_write_a_token_is_not_kept() -> None:
    known = Callers(Logins(), lambda: 0.0)
    header = b"Bearer " + b" " * 60_000 + b"one"
    known.keep(header, Caller(uuid4(), uuid4()), uuid4(), expires_at=60.0)
    assert known.find(header) is None
    assert len(known) == 0


def test_a_caller_is_known_by_the_very_text_until_it_expires() -> None:
    now = 1000.0
    known = Callers(Logins(), lambda: now)
    caller = Caller(uuid4(), uuid4())
    known.keep(b"Bearer one", caller, uuid4(), expires_at=1060.0)
    assert known.find(b"Bearer one") is caller
    assert known.find(b"bearer one") is None
    now = 1059.9
    assert known.find(b"Bearer one") is caller
    now = 1060.0
    assert known.find(b"Bearer one") is None
    now = 1000.0
    assert known.find(b"Bearer one") is None  # and forgotten


def test_an_ended_login_is_nobodys() -> None:
    logins = Logins()
    known = Callers(logins, lambda: 0.0)
    family, other = uuid4(), uuid4()
    known.keep(b"one", Caller(uuid4(), family), family, 60.0)
    known.keep(b"two", Caller(uuid4(), other), other, 60.0)
    logins.ended.add(family)
    assert known.find(b"one") is None
    assert known.find(b"two") is not None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "KEPT_MAX", 3)
    known = Callers(Logins(), lambda: 0.0)
    for number in range(10):
        known.keep(b"%d" % number, Caller(uuid4(), uuid4()), uuid4(), 60.0)
    assert len(known) == 3
    assert known.find(b"9") is not None


def test_a_caller_is_logged_by_its_user() -> None:
    user = uuid4()
    assert Caller(user, None).user_text == str(user)
