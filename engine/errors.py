"""What the engine refuses. A caller's mistake is an assert; what came from outside is one of these.

EngineError
+-- CommandError   bytes that are no command, or a command for a row that the table does not have
+-- EventError     bytes that are no event
+-- RowsError      bytes that are no table of rows
"""


class EngineError(Exception):
    """Root of everything that the engine refuses."""


class CommandError(EngineError):
    """No command, or none that this table can take."""


class EventError(EngineError):
    """No event."""


class RowsError(EngineError):
    """No table of rows."""
