"""How partitions are shared out among live workers. Pure: who may take, who should give back."""

from collections.abc import Sequence

from adapters.lease import Wish


def fair_share(name: str, workers: Sequence[str], partitions: int) -> int:
    """How many partitions a worker should hold: all shares differ by one at most.

    A worker that is not on the list yet counts itself in.
    """
    names = sorted({*workers, name})
    share, rest = divmod(partitions, len(names))
    return share + (1 if names.index(name) < rest else 0)


def wishes(name: str, workers: Sequence[str], owners: Sequence[str]) -> list[Wish]:
    """What to ask for next: renew within the share, give back above it, take what is free.

    Giving back is one partition at a time, so that a newcomer can take each before the next
    is dropped and no partition waits long for an owner.
    """
    share = fair_share(name, workers, len(owners))
    held = [p for p, owner in enumerate(owners) if owner == name]
    surplus = held[share:][:1]
    room = max(share - len(held), 0)
    asked: list[Wish] = []
    for partition, owner in enumerate(owners):
        if partition in surplus:
            asked.append("drop")
        elif not owner and room > 0:
            asked.append("take")
            room -= 1
        else:
            asked.append("keep")
    return asked
