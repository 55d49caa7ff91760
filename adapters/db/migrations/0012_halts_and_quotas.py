"""Halts with who and why, those of operators apart; quotas of accounts; requests in parts."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import Now
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0011_skipped_on_record")]

    operations = [
        ops.AddField(
            model_name="Agent",
            name="halt_by_operator",
            field=fields.SmallIntField(db_default=0),
        ),
        ops.AddField(
            model_name="User",
            name="halt_by_operator",
            field=fields.SmallIntField(db_default=0),
        ),
        ops.AddField(model_name="User", name="agents_quota", field=fields.IntField(null=True)),
        ops.AddField(model_name="User", name="plans_quota", field=fields.IntField(null=True)),
        ops.AddField(model_name="User", name="requests_quota", field=fields.IntField(null=True)),
        ops.AddField(model_name="Fleet", name="epoch", field=fields.BigIntField(db_default=0)),
        ops.AddField(
            model_name="RepeatableRequest", name="part", field=fields.IntField(db_default=0)
        ),
        ops.CreateModel(
            name="HaltChange",
            fields=[
                ("id", fields.BigIntField(primary_key=True, generated=True)),
                ("at", fields.DatetimeField(db_default=Now())),
                ("scope", fields.CharField(max_length=8)),
                ("agent_id", fields.UUIDField(null=True)),
                ("user_id", fields.UUIDField(null=True)),
                ("state", fields.SmallIntField()),
                ("made_by", fields.UUIDField()),
                ("as_operator", fields.BooleanField()),
                ("why", fields.TextField(null=True)),
            ],
            options={
                "table": "halt_changes",
                "app": "artic",
                "pk_attr": "id",
                "indexes": [Index(fields=["user_id", "id"])],
            },
            bases=["Model"],
        ),
        ops.RunSQL(
            [
                "ALTER TABLE agents ADD CHECK (halt_by_operator BETWEEN 0 AND 2)",
                "ALTER TABLE users ADD CHECK (halt_by_operator BETWEEN 0 AND 2),"
                " ADD CHECK (agents_quota >= 0), ADD CHECK (plans_quota >= 0),"
                " ADD CHECK (requests_quota >= 0)",
                "ALTER TABLE repeatable_requests DROP CONSTRAINT repeatable_requests_pkey,"
                " ADD PRIMARY KEY (user_id, key, part)",
            ],
            reverse_sql="SELECT 1",
        ),
    ]
