"""Plans that were asked for lately. A plan never changes, nor does its number."""

from collections import OrderedDict

from adapters.db.plans import Plan

KEPT_MAX = 4_096
"""The key of a plan has a few hundred characters, 2,000 at most."""


class KnownPlans:
    """The plans of one process by their keys."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Plan] = OrderedDict()

    def find(self, key: str) -> Plan | None:
        """The plan, if it is known."""
        plan = self._kept.get(key)
        if plan is not None:
            self._kept.move_to_end(key)
        return plan

    def keep(self, plan: Plan) -> None:
        """Remembers a plan that is in the record."""
        self._kept[plan.key] = plan
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)
