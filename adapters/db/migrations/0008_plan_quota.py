"""Whose wish made a plan, so that one account can't make numbers of plans without end."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0007_halts")]

    operations = [
        ops.AddField(model_name="Plan", name="made_by", field=fields.UUIDField(null=True)),
        ops.RunSQL(
            "CREATE INDEX plans_made_by ON plans (made_by) WHERE made_by IS NOT NULL",
            reverse_sql="DROP INDEX IF EXISTS plans_made_by",
        ),
    ]
