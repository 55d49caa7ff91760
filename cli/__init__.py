"""The `artic` command. It starts the other rooms as processes and speaks HTTP to the hub."""
