"""The tables, as Tortoise models: what `tortoise makemigrations` compares and queries read.

Columns and defaults live here; what Tortoise cannot say (keys of two columns, checks,
partial indexes, storage) is SQL in migrations/. Tables of facts (trades, logs, messages)
have no foreign keys: a fact outlives the agent it speaks of. No docstrings on models: Tortoise
makes table comments of them, so that a better word would need a migration.
"""

from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import Now
from tortoise.indexes import Index
from tortoise.models import Model

from adapters.db.records import DECIMALS, DIGITS

PLAN_KEY_CHARACTERS_MAX = 2000
"""What an index of PostgreSQL takes; the longest ensemble has three quarters of it."""


# An account. role is operator for the first one, else user.
class User(Model):
    id = fields.UUIDField(primary_key=True)
    email = fields.CharField(max_length=320, unique=True)  # lower case
    password_hash = fields.TextField()
    role = fields.CharField(max_length=16)
    message_seq = fields.BigIntField(db_default=0)  # number of the newest message
    api_key_hash = fields.CharField(max_length=128, unique=True, null=True)  # of the one good key
    halt = fields.SmallIntField(db_default=0)  # 0 active, 1 reducing, 2 halted: of all agents
    halt_by_operator = fields.SmallIntField(db_default=0)  # the same, not the account's to lift
    agents_quota = fields.IntField(null=True)  # this and the next two: none, the settings' default
    plans_quota = fields.IntField(null=True)
    requests_quota = fields.IntField(null=True)  # a minute
    created_at = fields.DatetimeField(db_default=Now())

    class Meta:
        table = "users"


# What holds for every agent of everybody: one row.
class Fleet(Model):
    id = fields.SmallIntField(primary_key=True, generated=False)
    halt = fields.SmallIntField(db_default=0)
    epoch = fields.BigIntField(db_default=0)  # changes of halt so far

    class Meta:
        table = "fleet"


# Who has held back what, and why. Facts: no foreign keys.
class HaltChange(Model):
    id = fields.BigIntField(primary_key=True, generated=True)
    at = fields.DatetimeField(db_default=Now())
    scope = fields.CharField(max_length=8)  # agent, account, fleet
    agent_id = fields.UUIDField(null=True)
    user_id = fields.UUIDField(null=True)  # whose agents: none for the fleet
    state = fields.SmallIntField()
    made_by = fields.UUIDField()
    as_operator = fields.BooleanField()
    why = fields.TextField(null=True)

    class Meta:
        table = "halt_changes"
        indexes = (Index(fields=("user_id", "id")),)


# One link of a family of refresh tokens; only the hash is kept.
class RefreshToken(Model):
    id = fields.UUIDField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "artic.User", related_name=False, on_delete=fields.CASCADE
    )
    user_id: UUID
    family_id = fields.UUIDField(db_index=True)
    token_hash = fields.CharField(max_length=128, unique=True)
    expires_at = fields.DatetimeField()
    spent_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        table = "refresh_tokens"


# What a signal is computed from; its number is an index into arrays, so they are dense.
class Plan(Model):
    id = fields.IntField(primary_key=True, generated=False)
    key = fields.CharField(
        max_length=PLAN_KEY_CHARACTERS_MAX, unique=True
    )  # canonical JSON of the rest
    symbol = fields.CharField(max_length=64)
    timeframe = fields.CharField(max_length=8)
    strategy = fields.CharField(max_length=64)
    version = fields.IntField()
    params: fields.JSONField[dict[str, Any]] = fields.JSONField()
    made_by = fields.UUIDField(null=True)  # the account that wished it first

    class Meta:
        table = "plans"


# The ledger's cursor in a shard's stream. run_id is empty until the shard is first opened.
class Shard(Model):
    id = fields.IntField(primary_key=True, generated=False)
    symbol = fields.CharField(max_length=64)  # of the agent it was opened for
    version = fields.BigIntField(db_default=0)  # newest version that is stored
    slot = fields.BigIntField(db_default=0)  # newest slot that is stored
    run_id = fields.CharField(max_length=64, db_default="")
    frozen = fields.TextField(null=True)  # why nothing of it is stored any more
    rested_slot = fields.BigIntField(null=True)  # where a resharding began it
    skipped = fields.BinaryField(null=True)  # slots up to `slot` that were not run, msgpack

    class Meta:
        table = "shards"


# A place of a shard. Its real key is (shard, row); Tortoise knows keys of one column only.
class ShardRow(Model):
    shard = fields.IntField(primary_key=True, generated=False)
    row = fields.IntField()
    agent_id = fields.UUIDField(null=True)  # holder; none: free
    epoch = fields.BigIntField(db_default=0)  # newest given out, over all holders
    seq = fields.BigIntField(db_default=0)  # the holder's newest event that is stored
    version = fields.BigIntField(db_default=0)  # of the commit that wrote `record`
    record = fields.BinaryField(null=True)  # newest row the ledger saw, also of a former holder

    class Meta:
        table = "shard_rows"


# Wanted state, and of the present state what lists are filtered by.
class Agent(Model):
    id = fields.UUIDField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "artic.User", related_name=False, on_delete=fields.RESTRICT
    )
    user_id: UUID
    name = fields.CharField(max_length=200)
    symbol = fields.CharField(max_length=64)
    timeframe = fields.CharField(max_length=8)
    strategy_name = fields.CharField(max_length=64)
    strategy_params: fields.JSONField[dict[str, Any]] = fields.JSONField()
    interval_seconds = fields.IntField()
    live_mode = fields.BooleanField(db_default=False)
    risk_params: fields.JSONField[dict[str, Any]] = fields.JSONField()
    plan: fields.ForeignKeyRelation[Plan] = fields.ForeignKeyField(
        "artic.Plan", related_name=False, on_delete=fields.RESTRICT
    )
    plan_id: int
    shard = fields.IntField()
    row = fields.IntField()
    epoch = fields.BigIntField()  # of the newest wanted state
    wanted = fields.CharField(max_length=16)  # running, stopped, deleted
    close_position = fields.BooleanField(db_default=True)
    asked_epoch = fields.BigIntField(db_default=0)  # in which `wanted` was asked for
    applied_epoch = fields.BigIntField(db_default=0)  # newest one seen in the agent's row
    halt = fields.SmallIntField(db_default=0)  # the agent's own; the strictest of all counts
    halt_by_operator = fields.SmallIntField(db_default=0)
    status = fields.CharField(max_length=16, db_default="creating")  # as of the newest event
    status_detail = fields.TextField(db_default="")
    created_at = fields.DatetimeField(db_default=Now())
    updated_at = fields.DatetimeField(db_default=Now())  # of the wanted state

    class Meta:
        table = "agents"
        unique_together = (("shard", "row"),)
        indexes = (
            Index(fields=("user_id", "created_at", "id")),
            Index(fields=("symbol", "shard")),
        )


# One position from its opening on. seq is the user's message that told of the opening.
class Trade(Model):
    id = fields.UUIDField(primary_key=True)  # event id of the opening
    agent_id = fields.UUIDField()
    user_id = fields.UUIDField()
    seq = fields.BigIntField()
    symbol = fields.CharField(max_length=64)
    side = fields.CharField(max_length=8)  # long, short
    strategy_name = fields.CharField(max_length=64)
    quantity = fields.DecimalField(DIGITS, DECIMALS)
    leverage = fields.IntField()
    entry_price = fields.DecimalField(DIGITS, DECIMALS)
    exit_price = fields.DecimalField(DIGITS, DECIMALS, null=True)
    fee_usd = fields.DecimalField(DIGITS, DECIMALS)  # of the entry; of both sides once closed
    pnl_usd = fields.DecimalField(DIGITS, DECIMALS, null=True)  # net of fees
    open_reason = fields.CharField(max_length=32)
    close_reason = fields.CharField(max_length=32, null=True)
    opened_at = fields.DatetimeField()
    closed_at = fields.DatetimeField(null=True)
    mode = fields.CharField(max_length=8)  # paper, live
    origin = fields.CharField(max_length=8, db_default="pool")  # pool; reported: from outside of it

    class Meta:
        table = "trades"
        indexes = (Index(fields=("agent_id", "seq")),)


# One line of an agent's log. seq is the user's message that carried it.
class Log(Model):
    id = fields.UUIDField(primary_key=True)  # follows from the event and the line's place in it
    agent_id = fields.UUIDField()
    user_id = fields.UUIDField()
    seq = fields.BigIntField()
    ts = fields.DatetimeField()
    level = fields.CharField(max_length=16)
    message = fields.TextField()

    class Meta:
        table = "logs"
        indexes = (Index(fields=("agent_id", "ts", "seq")),)


# What a user's WebSocket says again after a break. Its real key is (user_id, seq).
class Message(Model):
    user_id = fields.UUIDField(primary_key=True)
    seq = fields.BigIntField()
    kind = fields.CharField(max_length=8)  # trade, log
    agent_id = fields.UUIDField()
    ts = fields.DatetimeField()
    data: fields.JSONField[dict[str, Any]] = fields.JSONField()

    class Meta:
        table = "messages"


# A report of a trade by an agent outside of the pool, so that it counts once.
class ReportedEvent(Model):
    id = fields.UUIDField(primary_key=True)  # follows from the agent and its own event id
    agent_id = fields.UUIDField()
    at = fields.DatetimeField(db_default=Now())

    class Meta:
        table = "reported_events"


# An agent that another hub knows as a container of its own, and how far that hub was told of it.
# It outlives the agent until every trade was told.
class Callback(Model):
    agent_id = fields.UUIDField(primary_key=True)
    user_id = fields.UUIDField()
    outside_id = fields.UUIDField()  # the agent's id over there
    hub_url = fields.CharField(max_length=2000)
    secret = fields.BinaryField()  # that hub's internal secret, sealed
    trade_seq = fields.BigIntField(db_default=0)  # newest trade whose opening was told
    close_told = fields.BooleanField(db_default=True)  # and whether its close was
    log_seq = fields.BigIntField(db_default=0)  # newest log line that was told
    log_ts = fields.DatetimeField(db_default=Now())  # of that line

    class Meta:
        table = "callbacks"


# The answer to a request that may be sent again. Its real key is (user_id, key, part).
class RepeatableRequest(Model):
    user_id = fields.UUIDField(primary_key=True)
    key = fields.CharField(max_length=255)
    part = fields.IntField(db_default=0)  # of one that is answered in parts
    body_hash = fields.BinaryField()
    agent_id = fields.UUIDField(null=True)
    answer = fields.BinaryField(null=True)
    at = fields.DatetimeField(db_default=Now())

    class Meta:
        table = "repeatable_requests"


# An event that could not be stored, as it came.
class Quarantine(Model):
    id = fields.BigIntField(primary_key=True, generated=True)
    shard = fields.IntField()
    version = fields.BigIntField()
    n = fields.IntField()
    payload = fields.BinaryField()
    reason = fields.TextField()
    at = fields.DatetimeField(db_default=Now())
    # The agent whose event it is, until it has been put into `error`.
    fails = fields.UUIDField(null=True)

    class Meta:
        table = "quarantine"
        unique_together = (("shard", "version", "n"),)


# Where a price source stood at a slot, so that it goes on there after a restart.
class SourceAnchor(Model):
    source = fields.CharField(max_length=2000, primary_key=True)
    slot = fields.BigIntField()
    position: fields.JSONField[dict[str, Any]] = fields.JSONField()

    class Meta:
        table = "source_anchors"
