"""Hands messages to the hubs, each of which passes them on to its own clients."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.db.records import UserMessage
from adapters.redis_client import Redis, command


async def publish_messages(redis: Redis, messages: Sequence[UserMessage]) -> None:
    """Trades and logs that are in the record, in order; a hub that misses one reads PostgreSQL.

    Most users do not look on. One who begins to after the question below gets them from the record,
    which every new subscription is followed by.
    """
    channels = {user: keys.user_channel(str(user)) for user in {m.user_id for m in messages}}
    if not channels:
        return
    heard = await command(redis, "PUBSUB", "NUMSUB", *channels.values())
    told = zip(heard[::2], heard[1::2], strict=True)
    watched = {name.decode() for name, clients in told if clients}
    pipe = redis.pipeline(transaction=False)
    for message in messages:
        channel = channels[message.user_id]
        if channel in watched:
            pipe.publish(channel, msgspec.json.encode(message.as_json()))
    if watched:
        await pipe.execute()


async def publish_status(redis: Redis, user_id: UUID, message: bytes) -> None:
    """An agent_status message; one that gets lost is made good by the next."""
    await command(redis, "PUBLISH", keys.user_channel(str(user_id)), message)
