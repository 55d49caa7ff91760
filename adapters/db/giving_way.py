"""Long work on many rows in the loop that ticks: others come to their turn in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

ITEMS_AT_ONCE = 40
"""Rows that are made in one go: a millisecond or two."""


async def giving_way(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The same items, with everybody else's turn after some of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % ITEMS_AT_ONCE == 0:
            await asyncio.sleep(0)
