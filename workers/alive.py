"""A file that a worker touches while its loop turns, for whoever looks after processes: Docker and
Kubernetes end one whose file grows old. Redis or PostgreSQL away does not age it: to start a worker
again mends neither.
"""

import asyncio
from pathlib import Path

ALIVE_EVERY_S = 2.0


async def touch_while_alive(file: Path, every_s: float = ALIVE_EVERY_S) -> None:
    """Touches the file for ever.

    Raises:
        OSError: it cannot be written.
    """
    while True:
        file.touch()
        await asyncio.sleep(every_s)
