"""The tables as `tortoise makemigrations` wrote them, made shorter by hand."""

from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.db_defaults import Now
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Log",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("agent_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("seq", fields.BigIntField()),
                ("ts", fields.DatetimeField()),
                ("level", fields.CharField(max_length=16)),
                ("message", fields.TextField()),
            ],
            options={
                "table": "logs",
                "app": "artic",
                "indexes": [Index(fields=["agent_id", "ts", "seq"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Message",
            fields=[
                ("user_id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("seq", fields.BigIntField()),
                ("kind", fields.CharField(max_length=8)),
                ("agent_id", fields.UUIDField()),
                ("ts", fields.DatetimeField()),
                ("data", fields.JSONField()),
            ],
            options={"table": "messages", "app": "artic", "pk_attr": "user_id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Plan",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False)),
                ("key", fields.CharField(unique=True, max_length=2000)),
                ("symbol", fields.CharField(max_length=64)),
                ("timeframe", fields.CharField(max_length=8)),
                ("strategy", fields.CharField(max_length=64)),
                ("version", fields.IntField()),
                ("params", fields.JSONField()),
            ],
            options={"table": "plans", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Quarantine",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("shard", fields.IntField()),
                ("version", fields.BigIntField()),
                ("n", fields.IntField()),
                ("payload", fields.BinaryField()),
                ("reason", fields.TextField()),
                ("at", fields.DatetimeField(db_default=Now())),
            ],
            options={
                "table": "quarantine",
                "app": "artic",
                "unique_together": (("shard", "version", "n"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Shard",
            fields=[
                ("id", fields.IntField(primary_key=True, generated=False)),
                ("symbol", fields.CharField(max_length=64)),
                ("version", fields.BigIntField(db_default=0)),
                ("slot", fields.BigIntField(db_default=0)),
                ("run_id", fields.CharField(db_default="", max_length=64)),
                ("frozen", fields.TextField(null=True)),
            ],
            options={"table": "shards", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ShardRow",
            fields=[
                ("shard", fields.IntField(primary_key=True, generated=False)),
                ("row", fields.IntField()),
                ("agent_id", fields.UUIDField(null=True)),
                ("epoch", fields.BigIntField(db_default=0)),
                ("seq", fields.BigIntField(db_default=0)),
                ("version", fields.BigIntField(db_default=0)),
                ("record", fields.BinaryField(null=True)),
            ],
            options={"table": "shard_rows", "app": "artic", "pk_attr": "shard"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SourceAnchor",
            fields=[
                (
                    "source",
                    fields.CharField(primary_key=True, unique=True, db_index=True, max_length=2000),
                ),
                ("slot", fields.BigIntField()),
                ("position", fields.JSONField()),
            ],
            options={"table": "source_anchors", "app": "artic", "pk_attr": "source"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Trade",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("agent_id", fields.UUIDField()),
                ("user_id", fields.UUIDField()),
                ("seq", fields.BigIntField()),
                ("symbol", fields.CharField(max_length=64)),
                ("side", fields.CharField(max_length=8)),
                ("strategy_name", fields.CharField(max_length=64)),
                ("quantity", fields.DecimalField(max_digits=38, decimal_places=18)),
                ("leverage", fields.IntField()),
                ("entry_price", fields.DecimalField(max_digits=38, decimal_places=18)),
                ("exit_price", fields.DecimalField(null=True, max_digits=38, decimal_places=18)),
                ("fee_usd", fields.DecimalField(max_digits=38, decimal_places=18)),
                ("pnl_usd", fields.DecimalField(null=True, max_digits=38, decimal_places=18)),
                ("open_reason", fields.CharField(max_length=32)),
                ("close_reason", fields.CharField(null=True, max_length=32)),
                ("opened_at", fields.DatetimeField()),
                ("closed_at", fields.DatetimeField(null=True)),
                ("mode", fields.CharField(max_length=8)),
            ],
            options={
                "table": "trades",
                "app": "artic",
                "indexes": [Index(fields=["agent_id", "seq"])],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("email", fields.CharField(unique=True, max_length=320)),
                ("password_hash", fields.TextField()),
                ("role", fields.CharField(max_length=16)),
                ("message_seq", fields.BigIntField(db_default=0)),
                ("created_at", fields.DatetimeField(db_default=Now())),
            ],
            options={"table": "users", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Agent",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "artic.User",
                        source_field="user_id",
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("name", fields.CharField(max_length=200)),
                ("symbol", fields.CharField(max_length=64)),
                ("timeframe", fields.CharField(max_length=8)),
                ("strategy_name", fields.CharField(max_length=64)),
                ("strategy_params", fields.JSONField()),
                ("interval_seconds", fields.IntField()),
                ("live_mode", fields.BooleanField(db_default=False)),
                ("risk_params", fields.JSONField()),
                (
                    "plan",
                    fields.ForeignKeyField(
                        "artic.Plan",
                        source_field="plan_id",
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("shard", fields.IntField()),
                ("row", fields.IntField()),
                ("epoch", fields.BigIntField()),
                ("wanted", fields.CharField(max_length=16)),
                ("close_position", fields.BooleanField(db_default=True)),
                ("applied_epoch", fields.BigIntField(db_default=0)),
                ("status", fields.CharField(db_default="creating", max_length=16)),
                ("status_detail", fields.TextField(db_default="")),
                ("created_at", fields.DatetimeField(db_default=Now())),
                ("updated_at", fields.DatetimeField(db_default=Now())),
            ],
            options={
                "table": "agents",
                "app": "artic",
                "unique_together": (("shard", "row"),),
                "indexes": [
                    Index(fields=["user_id", "created_at", "id"]),
                    Index(fields=["symbol", "shard"]),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RefreshToken",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "artic.User",
                        source_field="user_id",
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("family_id", fields.UUIDField(db_index=True)),
                ("token_hash", fields.CharField(unique=True, max_length=128)),
                ("expires_at", fields.DatetimeField()),
                ("spent_at", fields.DatetimeField(null=True)),
                ("revoked_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "refresh_tokens", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
