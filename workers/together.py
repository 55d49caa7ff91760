"""Parts of one thing, which run together and end together."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_to_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs these until one of them ends, and raises what it raises; the others are canceled."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
