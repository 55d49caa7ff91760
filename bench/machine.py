"""What processes cost, read from the kernel: CPU seconds, resident memory, who is whose child.

Linux only. PSS counts a page that n processes share as 1/n, so that sums over processes are right.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes together."""

    rss: int
    pss: int


@dataclass(frozen=True, slots=True)
class CpuTotals:
    """CPU seconds of the whole machine since it was started."""

    busy: float
    stolen: float


def tree(root: int) -> list[int]:
    """A process and everything below it, those that end meanwhile left out."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            fields = _stat(int(folder.name))
            if fields:
                children[int(fields[1])].append(int(folder.name))
    found: list[int] = []
    waiting = [root] if _stat(root) else []
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time, with that of children that have ended and were waited for."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            total += sum(int(field) for field in fields[11:15])
    return total / _TICKS_PER_S


def memory(pids: Iterable[int]) -> Memory:
    """Resident memory of some processes."""
    rss = pss = 0
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        sizes = {line.split(":")[0]: line.split() for line in text.splitlines()[1:]}
        rss += int(sizes["Rss"][1]) * _KIB
        pss += int(sizes["Pss"][1]) * _KIB
    return Memory(rss, pss)


def cpu_totals() -> CpuTotals:
    """How busy the machine has been, with what its host took away."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(word) / _TICKS_PER_S
        for word in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return CpuTotals(user + nice + system + irq + softirq, steal)


def described() -> str:
    """The machine in a few words, for a reader of the figures."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores, {pages * size / 2**30:.0f} GB"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
