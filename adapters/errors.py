"""What can go wrong outside, as types that callers may act on.

AdapterError
├── RedisAway        the Redis named in the settings does not answer
├── ShardError
│   ├── ShardFull    an inbox or an event stream is at its bound
│   └── SchemaUnknown  a newer version has written the shard
├── DatabaseError    see adapters/db/errors.py
├── BrokenBlock      a minute of the archive cannot be read (adapters/market_archive.py)
├── ContainersAway   the Docker engine does not answer
├── ContainerRefused  it answers, and won't
├── SentUnreadable, SealBroken  a secret does not open (adapters/vault.py)
├── FeedError        a service of prices or candles does not do what it should
├── PriceSourceError  there is no such source, or its files cannot be played (adapters/prices.py)
└── WindowGone       the candles of a frame are not kept any more (adapters/market_bars.py)
"""


class AdapterError(Exception):
    """Root of everything that the outside may do to us."""


class RedisAway(AdapterError):
    """Redis does not answer."""


class ShardError(AdapterError):
    """A shard cannot take what was asked of it."""

    def __init__(self, shard: int, message: str) -> None:
        super().__init__(f"shard {shard}: {message}")
        self.shard = shard


class SchemaUnknown(ShardError):
    """Its rows are of a schema that this version does not know: leave it to one that does."""

    def __init__(self, shard: int, schema: int | None = None) -> None:
        which = "a row schema that" if schema is None else f"row schema {schema}, which"
        super().__init__(shard, f"it is of {which} this version does not know")


class ShardFull(ShardError):
    """An inbox or a stream is at its bound; try again when the pool has caught up."""


class ContainersAway(AdapterError):
    """The Docker engine does not answer."""


class ContainerRefused(AdapterError):
    """The engine answers and won't do it: no such image, no such network, a name in use."""


class FeedError(AdapterError):
    """A service of prices or candles refuses, breaks off or says what nobody understands."""
