"""What a replay needs: every event as it was, and what each slot saw, both with retention."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0004_edits_repeats_reports")]

    operations = [
        ops.RunSQL(
            [
                "CREATE TABLE journal (agent_id uuid NOT NULL, seq bigint NOT NULL,"
                " slot bigint NOT NULL, shard int NOT NULL, payload bytea NOT NULL,"
                " PRIMARY KEY (agent_id, seq))",
                # events come in order of their slots, so a few pages of index do
                "CREATE INDEX journal_slot ON journal USING brin (slot)",
                "CREATE TABLE market_archive (first_slot bigint PRIMARY KEY, block bytea NOT NULL)",
                # it is compressed already
                "ALTER TABLE market_archive ALTER COLUMN block SET STORAGE EXTERNAL",
            ],
            reverse_sql=["DROP TABLE market_archive", "DROP TABLE journal"],
        ),
    ]
