"""API keys, and ways to find the refresh tokens that were revoked lately or have expired."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0002_keys_and_storage")]

    operations = [
        ops.AddField(
            model_name="User",
            name="api_key_hash",
            field=fields.CharField(null=True, unique=True, max_length=128),
        ),
        ops.RunSQL(
            [
                "CREATE INDEX refresh_tokens_revoked ON refresh_tokens (revoked_at, family_id)"
                " WHERE revoked_at IS NOT NULL",
                "CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at)",
            ],
            reverse_sql=[
                "DROP INDEX refresh_tokens_revoked",
                "DROP INDEX refresh_tokens_expires",
            ],
        ),
    ]
