"""Migrations, applied in order by adapters.db.migrate. Never edit one that was released.

A new one: change models.py, run `tortoise -c adapters.db.connection.TORTOISE_ORM makemigrations
-n NAME`, format it; where rows may exist, a new column needs its default in SQL (`db_default`).
"""
