"""What Tortoise cannot say: keys of two columns, checks, partial indexes, storage."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0001_initial")]

    operations = [
        ops.RunSQL(
            [
                "ALTER TABLE messages DROP CONSTRAINT messages_pkey",
                "ALTER TABLE messages ADD PRIMARY KEY (user_id, seq)",
                "ALTER TABLE shard_rows DROP CONSTRAINT shard_rows_pkey",
                "ALTER TABLE shard_rows ADD PRIMARY KEY (shard, row)",
            ],
            reverse_sql=[
                "ALTER TABLE messages DROP CONSTRAINT messages_pkey",
                "ALTER TABLE messages ADD PRIMARY KEY (user_id)",
                "ALTER TABLE shard_rows DROP CONSTRAINT shard_rows_pkey",
                "ALTER TABLE shard_rows ADD PRIMARY KEY (shard)",
            ],
        ),
        ops.RunSQL(
            [
                "ALTER TABLE users ADD CONSTRAINT users_email_lower CHECK (email = lower(email))",
                "ALTER TABLE users ADD CONSTRAINT users_role CHECK (role IN ('operator', 'user'))",
                "ALTER TABLE agents ADD CONSTRAINT agents_wanted"
                " CHECK (wanted IN ('running', 'stopped', 'deleted'))",
                "ALTER TABLE agents ADD CONSTRAINT agents_status"
                " CHECK (status IN ('creating', 'running', 'stopped', 'error'))",
                "ALTER TABLE plans ADD CONSTRAINT plans_id CHECK (id >= 1)",
            ],
            reverse_sql=[
                "ALTER TABLE users DROP CONSTRAINT users_email_lower",
                "ALTER TABLE users DROP CONSTRAINT users_role",
                "ALTER TABLE agents DROP CONSTRAINT agents_wanted",
                "ALTER TABLE agents DROP CONSTRAINT agents_status",
                "ALTER TABLE plans DROP CONSTRAINT plans_id",
            ],
        ),
        ops.RunSQL(
            [
                # the next free row of a shard; the agents whose command may have got lost
                "CREATE INDEX shard_rows_free ON shard_rows (shard, row) WHERE agent_id IS NULL",
                "CREATE INDEX agents_unapplied ON agents (updated_at) WHERE applied_epoch < epoch",
                # what is pruned by age lies in order of age already: a small index does
                "CREATE INDEX messages_ts ON messages USING brin (ts) WITH (autosummarize = on)",
                "CREATE INDEX logs_ts ON logs USING brin (ts) WITH (autosummarize = on)",
            ],
            reverse_sql=[
                "DROP INDEX shard_rows_free",
                "DROP INDEX agents_unapplied",
                "DROP INDEX messages_ts",
                "DROP INDEX logs_ts",
            ],
        ),
        ops.RunSQL(
            [
                # every event rewrites its row's record: room on the page keeps that off the index
                "ALTER TABLE shard_rows SET"
                " (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)",
                "ALTER TABLE users SET (fillfactor = 80)",
                "ALTER TABLE shards SET (fillfactor = 50)",
            ],
            reverse_sql=[
                "ALTER TABLE shard_rows RESET (fillfactor, autovacuum_vacuum_scale_factor)",
                "ALTER TABLE users RESET (fillfactor)",
                "ALTER TABLE shards RESET (fillfactor)",
            ],
        ),
    ]
