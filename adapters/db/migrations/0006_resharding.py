"""Where the shards of a resharding begin: what came between is paused, not missed. And minutes of
the archive that were written at a stop, before they were over.
"""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0005_journal_and_archive")]

    operations = [
        ops.AddField(model_name="Shard", name="rested_slot", field=fields.BigIntField(null=True)),
        ops.RunSQL(
            "ALTER TABLE market_archive ADD COLUMN settled boolean NOT NULL DEFAULT true",
            reverse_sql="ALTER TABLE market_archive DROP COLUMN settled",
        ),
    ]
