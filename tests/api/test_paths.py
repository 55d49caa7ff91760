"""Paths to calls, held to what Starlette's own router does with the same table."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from api.call import Call
from api.calls import CALLS
from api.paths import Paths

HTTP_CALLS = [call for call in CALLS if not call.is_socket]
PATHS = Paths(HTTP_CALLS)
WORDS = sorted({word for call in HTTP_CALLS for word in call.path.split("/")} | {"x", "-", "a.b"})
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def nothing() -> None:
    """Never called."""


def routes_of(calls: Iterable[Call]) -> list[Route]:
    """One route for each path, as Starlette wants them."""
    methods: dict[str, list[str]] = {}
    for call in calls:
        methods.setdefault(call.path, []).append(call.method)
    return [Route(path, nothing, methods=names) for path, names in methods.items()]


ROUTES = routes_of(HTTP_CALLS)


def by_starlette(path: str, method: str) -> tuple[str | None, bool, dict[str, str]]:
    """(path of the call or None, whether the method is allowed, parameters)."""
    partial: tuple[str | None, bool, dict[str, str]] = (None, False, {})
    for route in ROUTES:
        match, child = route.matches({"type": "http", "path": path, "method": method})
        if match == Match.FULL:
            return route.path, True, child["path_params"]
        if match == Match.PARTIAL and partial[0] is None:
            partial = (route.path, False, child["path_params"])
    return partial


@given(st.lists(st.sampled_from(WORDS), max_size=7), st.sampled_from(METHODS))
def test_any_path_is_found_as_starlette_would(words: list[str], method: str) -> None:
    path = "/" + "/".join(words)
    where, allowed, parameters = by_starlette(path, method)
    served = PATHS.find(path, method)
    if where is None:
        assert served is None
        return
    assert served is not None
    assert (method in served.calls) == allowed
    if allowed:
        assert (served.calls[method].path, served.parameters) == (where, parameters)


@pytest.mark.parametrize("call", HTTP_CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_every_call_is_found(call: Call) -> None:
    path = call.path.replace("{agent_id}", "some-id")
    served = PATHS.find(path, call.method)
    assert served is not None
    assert served.calls[call.method] is call
    assert list(served.parameters) == call.path_parameters


def test_methods_are_all_that_a_path_has() -> None:
    found = PATHS.find("/api/agents/x", "PUT")
    assert found is not None
    assert found.methods == ["DELETE", "GET", "HEAD", "PATCH"]
    found = PATHS.find("/api/agents/kill-all", "PUT")
    assert found is not None
    assert found.methods == ["POST"]
