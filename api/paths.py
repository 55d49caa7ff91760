"""Which calls a path has, found in two look-ups however many paths there are.

Starlette tries one pattern after the other, which with forty paths costs more than all the rest
of a request. A named segment stands for any text but none.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from api.call import Call

_Named = tuple[tuple[str, ...], dict[str, Call]]
"""Names of the named segments, and the calls by method."""


class Served(NamedTuple):
    """The calls of one path by method, and what its named segments stand for."""

    calls: Mapping[str, Call]
    parameters: Mapping[str, str]

    @property
    def methods(self) -> list[str]:
        """What it can be asked with, sorted; whatever has GET has HEAD."""
        names = set(self.calls)
        return sorted(names | {"HEAD"} if "GET" in names else names)


class Paths:
    """All paths of a table of calls."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._fixed: dict[str, dict[str, Call]] = {}
        self._named: dict[tuple[int, ...], dict[str, _Named]] = {}
        """By where the named segments are; then by the path with nothing in their places."""
        self.calls = list(calls)
        for call in self.calls:
            segments = call.path.split("/")
            places = tuple(at for at, each in enumerate(segments) if each.startswith("{"))
            for at in places:
                segments[at] = ""
            path = "/".join(segments)
            if places:
                names = tuple(call.path_parameters)
                same = self._named.setdefault(places, {}).setdefault(path, (names, {}))[1]
            else:
                same = self._fixed.setdefault(path, {})
            same[call.method] = call

    def find(self, path: str, method: str) -> Served | None:
        """The calls of a path, such as have the method if there are any; None for no path.

        /agents/{id} is also served at /agents/all, in what that does not serve itself.
        """
        calls = self._fixed.get(path)
        first = None if calls is None else Served(calls, {})
        if first is not None and method in first.calls:
            return first
        for places, paths in self._named.items():
            segments = path.split("/")
            if places[-1] >= len(segments):
                continue
            values = [segments[at] for at in places]
            for at in places:
                segments[at] = ""
            named = paths.get("/".join(segments))
            if named is None or "" in values:
                continue
            names, calls = named
            served = Served(calls, dict(zip(names, values, strict=True)))
            if method in calls:
                return served
            first = first or served
        return first
