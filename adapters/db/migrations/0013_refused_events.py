"""An agent of which PostgreSQL refused an event is put into `error`."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0012_halts_and_quotas")]

    operations = [
        ops.AddField(model_name="Quarantine", name="fails", field=fields.UUIDField(null=True)),
        ops.RunSQL(
            [
                "CREATE INDEX quarantine_fails ON quarantine (fails) WHERE fails IS NOT NULL",
                "ALTER TABLE agents DROP CONSTRAINT agents_wanted",
                "ALTER TABLE agents ADD CONSTRAINT agents_wanted"
                " CHECK (wanted IN ('running', 'stopped', 'deleted', 'failed'))",
            ],
            reverse_sql="SELECT 1",
        ),
    ]
