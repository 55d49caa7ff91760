"""Hands messages to the hubs, each of which passes them on to its own clients."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.db.records import UserMessage
from adapters.redis_client import Redis, command


async def publish_messages(redis: Redis, messages: Sequence[UserMessage]) -> None:
    """Trades and logs that are in the record, in order; a hub that misses one reads PostgreSQL."""
    if not messages:
        return
    pipe = redis.pipeline(transaction=False)
    for message in messages:
        body = msgspec.json.encode(message.as_json())
        pipe.publish(keys.user_channel(str(message.user_id)), body)
    await pipe.execute()


async def publish_status(redis: Redis, user_id: UUID, message: str) -> None:
    """An agent_status message; one that gets lost is made good by the next."""
    await command(redis, "PUBLISH", keys.user_channel(str(user_id)), message)
