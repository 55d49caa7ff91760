"""What an event of a Hermes stream says: prices as text and exponent, by the id of their feed."""

from typing import Final

import msgspec

from adapters.pyth_feeds import FEED_ID

EXPONENT_MAX: Final = 40


class _Price(msgspec.Struct):
    price: str
    conf: str
    expo: int
    publish_time: int


class _ParsedFeed(msgspec.Struct):
    id: str
    price: _Price


class PriceEvent(msgspec.Struct):
    """One event; its feeds are read one by one, so that a bad one harms no other."""

    parsed: list[msgspec.Raw]


def read_feed(raw: msgspec.Raw) -> tuple[str, float, float, float]:
    """Id, price, confidence and publish time of one feed of an event.

    Raises:
        ValueError, OverflowError: it is not what the service's documents say.
    """
    feed = msgspec.json.decode(raw, type=_ParsedFeed)
    feed_id, said = FEED_ID.fullmatch(feed.id), feed.price
    if feed_id is None or abs(said.expo) > EXPONENT_MAX:
        raise ValueError(f"no feed: {feed.id[:80]}")
    # Through text, so that a decimal price becomes the binary number nearest to it.
    price = float(f"{int(said.price)}e{said.expo}")
    conf = float(f"{int(said.conf)}e{said.expo}")
    return feed_id[1].lower(), price, conf, float(said.publish_time)
