"""Agents that another hub knows as containers, and how far that hub has heard of them."""

from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.db_defaults import Now
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0009_user_secrets")]

    operations = [
        ops.CreateModel(
            name="Callback",
            fields=[
                ("agent_id", fields.UUIDField(primary_key=True, default=uuid4)),
                ("user_id", fields.UUIDField()),
                ("outside_id", fields.UUIDField()),
                ("hub_url", fields.CharField(max_length=2000)),
                ("secret", fields.BinaryField()),
                ("trade_seq", fields.BigIntField(db_default=0)),
                ("close_told", fields.BooleanField(db_default=True)),
                ("log_seq", fields.BigIntField(db_default=0)),
                ("log_ts", fields.DatetimeField(db_default=Now())),
            ],
            options={"table": "callbacks", "app": "artic", "pk_attr": "agent_id"},
            bases=["Model"],
        ),
        ops.RunSQL(
            "CREATE INDEX callbacks_outside ON callbacks (user_id, outside_id)",
            reverse_sql="DROP INDEX IF EXISTS callbacks_outside",
        ),
    ]
