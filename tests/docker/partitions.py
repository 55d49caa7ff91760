"""Who serves which tick partition of a Compose project, by the leases in its Redis."""

from adapters.redis_keys import TICK_PARTITIONS, partition_lease, shards
from tests.docker.project import Project


def served_by(project: Project) -> list[str]:
    """The worker of each partition, '' where there is none just now."""
    names = " ".join(partition_lease(each) for each in range(TICK_PARTITIONS))
    owners = project.redis(f"mget {names}").splitlines()
    assert len(owners) == TICK_PARTITIONS, owners
    return owners


def shards_of(project: Project, worker: str) -> int:
    """How many shards this container ticks."""
    owners = [name.startswith(worker[:12]) for name in served_by(project)]
    known = project.redis(f"smembers {shards()}").split()
    return sum(owners[int(shard) % TICK_PARTITIONS] for shard in known)
