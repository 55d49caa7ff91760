"""How far trading is held back: of one agent, of all agents of a user, of the whole fleet."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("artic", "0006_resharding")]

    operations = [
        ops.AddField(model_name="Agent", name="halt", field=fields.SmallIntField(db_default=0)),
        ops.AddField(model_name="User", name="halt", field=fields.SmallIntField(db_default=0)),
        ops.CreateModel(
            name="Fleet",
            fields=[
                ("id", fields.SmallIntField(primary_key=True, generated=False)),
                ("halt", fields.SmallIntField(db_default=0)),
            ],
            options={"table": "fleet", "app": "artic", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.RunSQL(
            [
                "INSERT INTO fleet (id) VALUES (1)",
                "ALTER TABLE fleet ADD CHECK (id = 1), ADD CHECK (halt BETWEEN 0 AND 2)",
                "ALTER TABLE agents ADD CHECK (halt BETWEEN 0 AND 2)",
                "ALTER TABLE users ADD CHECK (halt BETWEEN 0 AND 2)",
            ],
            reverse_sql="SELECT 1",
        ),
    ]
