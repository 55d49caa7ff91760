"""Slots that a shard has not run, beside its cursor: a Redis that lost all knew them alone."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0010_callbacks")]

    operations = [
        ops.AddField(model_name="Shard", name="skipped", field=fields.BinaryField(null=True)),
    ]
