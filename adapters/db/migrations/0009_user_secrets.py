"""Secrets of users, sealed before they get here."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0008_plan_quota")]

    operations = [
        ops.RunSQL(
            "CREATE TABLE user_secrets ("
            " user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
            " key_name varchar(64) NOT NULL,"
            " sealed bytea NOT NULL,"
            " updated_at timestamptz NOT NULL DEFAULT now(),"
            " PRIMARY KEY (user_id, key_name))",
            reverse_sql="DROP TABLE IF EXISTS user_secrets",
        ),
    ]
