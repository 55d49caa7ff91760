"""Edits that keep what was asked for, requests that may be repeated, trades from outside."""

from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.db_defaults import Now
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0003_api_keys")]

    operations = [
        ops.AddField(
            model_name="Agent", name="asked_epoch", field=fields.BigIntField(db_default=0)
        ),
        # until now every new epoch was a wish
        ops.RunSQL("UPDATE agents SET asked_epoch = epoch", reverse_sql="SELECT 1"),
        ops.AddField(
            model_name="Trade",
            name="origin",
            field=fields.CharField(db_default="pool", max_length=8),
        ),
        ops.CreateModel(
            name="ReportedEvent",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("agent_id", fields.UUIDField()),
                ("at", fields.DatetimeField(db_default=Now())),
            ],
            options={"table": "reported_events", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RepeatableRequest",
            fields=[
                ("user_id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("key", fields.CharField(max_length=255)),
                ("body_hash", fields.BinaryField()),
                ("agent_id", fields.UUIDField(null=True)),
                ("answer", fields.BinaryField(null=True)),
                ("at", fields.DatetimeField(db_default=Now())),
            ],
            options={"table": "repeatable_requests", "app": "artic", "pk_attr": "user_id"},
            bases=["Model"],
        ),
        ops.RunSQL(
            [
                "ALTER TABLE repeatable_requests DROP CONSTRAINT repeatable_requests_pkey",
                "ALTER TABLE repeatable_requests ADD PRIMARY KEY (user_id, key)",
                "CREATE INDEX repeatable_requests_at ON repeatable_requests (at)",
                "CREATE INDEX reported_events_at ON reported_events (at)",
                # one open position for each agent, out there too
                "CREATE UNIQUE INDEX trades_reported_open ON trades (agent_id)"
                " WHERE origin = 'reported' AND closed_at IS NULL",
            ],
            reverse_sql=[
                "DROP INDEX trades_reported_open",
                "DROP INDEX reported_events_at",
                "DROP INDEX repeatable_requests_at",
                "ALTER TABLE repeatable_requests DROP CONSTRAINT repeatable_requests_pkey",
                "ALTER TABLE repeatable_requests ADD PRIMARY KEY (user_id)",
            ],
        ),
    ]
