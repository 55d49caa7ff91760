"""PostgreSQL: the record. Users, wanted states, trades and logs, and the ledger's cursors.

Nothing of the ORM leaves this folder: callers pass the `Database` that they opened and get
frozen dataclasses. An absent server is `errors.DatabaseAway`, which the hub answers with 503.
"""
