"""How long to wait before something that has ended is started again."""

from dataclasses import dataclass

STEADY_S = 10.0
"""Whatever lived so long has not died of its start: it was killed, or something it needs failed."""


@dataclass(slots=True)
class Restarts:
    """Later and later for what dies young, soon again for what has worked.

    A part that somebody kills now and then is back at once each time, however often; agents stand
    still as long as their last worker waits here.
    """

    waits_s: tuple[float, ...]
    _young_deaths: int = 0

    def wait_s(self, lived_s: float) -> float:
        """Seconds to wait after an end. lived_s: since it was started."""
        if lived_s > STEADY_S:
            self._young_deaths = 0
        wait_s = self.waits_s[min(self._young_deaths, len(self.waits_s) - 1)]
        self._young_deaths += 1
        return wait_s
