"""Storms that once broke a promise, as few steps as it took: kept, however storms are drawn now.

Each says what was wrong. Seeds still decide prices and delays.
"""

from tests.simulation.schedule import Schedule, Step

REGRESSIONS: dict[str, Schedule] = {
    "a worker an hour ahead opened a lost shard in that hour": Schedule(
        81,
        (
            Step(0.38, "create", 6),
            Step(2.57, "redis_lost", 5, 1.49),
            Step(4.03, "clock_ahead", 1, 5.32),
        ),
    ),
    "a row with a side that cannot be froze its shard": Schedule(
        68,
        (
            Step(0.20, "create", 0),
            Step(2.17, "poison_row", 3),
            Step(4.44, "orderly_stop", 2, 2.32),
            Step(5.86, "kill_all", 0),
        ),
    ),
    "a row with a plan that cannot be stopped its shard, and the ledger": Schedule(
        84,
        (
            Step(0.35, "create", 5),
            Step(1.38, "start", 3),
            Step(1.42, "slow_network", 1, 2.36),
            Step(1.56, "poison_row", 3),
        ),
        3.0,
    ),
    "what was missed before the loss of everything counted as run": Schedule(
        218,
        (
            Step(0.32, "create", 4),
            Step(1.47, "redis_loss", 0, 0.16, loss_s=1.17),
            Step(1.66, "edit", 4),
        ),
        2.5,
    ),
    "a stop in order between a crash and its recovery": Schedule(
        206,
        (
            Step(0.32, "create", 4),
            Step(0.38, "create", 6),
            Step(1.22, "keep", 6),
            Step(1.76, "redis_loss", 1, 1.67, loss_s=0.46),
            Step(2.32, "orderly_stop", 2, 2.98),
            Step(3.52, "kill_all", 0),
        ),
        2.5,
    ),
    "a worker remembered a commit of the Redis before, and ticked its shard no more": Schedule(
        14,
        (
            *(Step(0.2, "create", agent) for agent in range(7)),
            Step(1.312, "all_paused", 5, 0.625881538054269),
            Step(1.534, "create", 5),
            Step(2.194, "all_paused", 1, 1.2202369892201672),
            Step(2.991, "redis_loss", 0, 0.24850395538785275, loss_s=0.6030384551753536),
        ),
        2.0,
    ),
    "a client that came when the hub had missed messages got them twice": Schedule(
        174,
        (
            Step(0.2, "create", 3),
            Step(0.3, "watch", 0),
            Step(1.01, "redis_crash", 4, 1.7860527090987157),
            Step(2.998, "watch", 1),
        ),
        3.0,
    ),
}
