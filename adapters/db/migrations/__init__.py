"""Migrations, applied in order by adapters.db.migrate. Never edit one that was released."""
