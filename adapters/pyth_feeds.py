"""Which Pyth feed stands for which symbol: read from Hermes, checked against what is known.

Feeds quote in US dollars. A symbol quoted in USDT is priced by the same feed as the one in USD:
all money here is counted in dollars, and what a stablecoin is off by is left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

DOLLARS: Final = ("USD", "USDT")
"""Quotes that the dollar feeds stand for."""
FEED_ID: Final = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)
_SYMBOL: Final = re.compile(r"Crypto\.([A-Z0-9]{1,20})/USD")

KNOWN_IDS: Final[Mapping[str, str]] = MappingProxyType({
    "BTC": "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43",
    "ETH": "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace",
    "SOL": "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d",
    "XRP": "ec5d399846a9209f3fe5881d70aae9268c94339ff9817e8d18ff19fa05eea1c8",
    "BNB": "2f95862b045670cd22bee3114c39763a4a08beeb663b145d283c31d7d1101c4f",
    "DOGE": "dcef50dd0a4cd2dcc17e45df1676dcb336a11a61c69df7a0299b0150c672d25c",
    "ADA": "2a01deaec9e51a579277b34b122399984d0bbf57e2458a7e42fecd2829867a0d",
    "AVAX": "93da3352f9f1d105fdfe4971cfa80e9dd777bfc5d0f683ebb6e1294b92137bb7",
    "LINK": "8ac0c70fff57e9aefdf5edf44b51d62c2d433653cbb2cf5cc06bb115af04d221",
    "APT": "03ae4db29ed4ae33d323568895aa00337e658e348b37509f5372ae51f0af00d5",
    "ARB": "3fa4252848f9f0a1480be62745a4629d9eb1322aebab8a791e344b3b9c1adcf5",
    "OP": "385f64d993f7b77d8182ed5003d97c60aa3361f3cecfe711544d2d59165e9bdf",
    "SUI": "23d7315113f5b1d3ba7a83604c44b94d79f4fd69af77f804fc7f920a6dc65744",
    "UNI": "78d185a741d07edb3412b09008b7c5cfb9bbbd7d568bf00ba737b456ba171501",
    "AAVE": "2b9ab1e972a281585084148ba1389800799bd4be63b957507db1349314e47445",
    "TRX": "67aed5a24fdad045475e7195c98a98aea119c763f272d4523f5bac93a4f33c2b",
    "POL": "ffd11c5a1cfd42f80afb2df4d9f264c15f956d68153335374ec10722edd70472",
    "SEI": "53614f1cb0c031d4af66c04cb9c756234adad0e1cee85303795091499a4084eb",
    "TIA": "09f7c1d7dfbb7df2b8fe3d3d87ee94a2259d212da4f30c1f0540d066dfa44723",
    "WIF": "4ca4beeca86f0d164160323817a4e42b10010a724c2217c6ee41b54cd4cc61fc",
    "BONK": "72b021217ca3fe68922a19aaf990109cb9d84e9ad004b4d2025ad6f529314419",
    "HYPE": "4279e31cc369bbcc2faf022b382b080e32a8e689ff20fbc530d2a603eb6cd98b",
    "NEAR": "c415de8d2eba7db216527dff4b60e8f3a5311c740dadb233e13e12547e226750",
    "INJ": "7a5bc1d2b56ad029048cd63964b3ad2776eadf812edc1a43a31406cb54bff592",
    "FIL": "150ac9b959aee0051e4091f0ef5216d941f590e1c5e7f91cf7635b5c11628c0e",
    "HBAR": "3728e591097635310e6341af53db8b7ee42da9b3a8d918f9463ce9cca886dfbd",
    "USDT": "2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b",
    "USDC": "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a",
})  # fmt: skip
"""Ids of X/USD from Pyth's own repository: a server that says otherwise is not believed."""


class FeedAttributes(msgspec.Struct, frozen=True):
    """What is read of a feed's attributes."""

    symbol: str = ""


class ListedFeed(msgspec.Struct, frozen=True):
    """One entry of GET /v2/price_feeds."""

    id: str
    attributes: FeedAttributes = FeedAttributes()


@dataclass(frozen=True, slots=True)
class FeedIds:
    """Feed ids by base currency; refused are the bases whose feed is in doubt, with the reason."""

    by_base: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def of(self, symbol: str) -> str | None:
        """The feed of `BTC/USDT` or `BTC/USD`, None where there is none."""
        base, _, quote = symbol.partition("/")
        return self.by_base.get(base) if quote in DOLLARS and base != quote else None

    @property
    def symbols(self) -> list[str]:
        """Every symbol that has a feed, in order."""
        pairs = ((base, quote) for base in self.by_base for quote in DOLLARS)
        return sorted(f"{base}/{quote}" for base, quote in pairs if base != quote)


class FeedMemory(Protocol):
    """Where one process finds the feeds that another has verified lately."""

    async def known_feeds(self) -> FeedIds | None:
        """None where nobody has."""

    async def know_feeds(self, feeds: FeedIds) -> None:
        """Keeps them for whoever comes next."""


def read_feeds(listed: Iterable[ListedFeed]) -> FeedIds:
    """The feeds of whole symbols `Crypto.BASE/USD`: what only looks like one is left out."""
    by_base: dict[str, str] = {}
    refused: dict[str, str] = {}
    for each in listed:
        symbol = _SYMBOL.fullmatch(each.attributes.symbol)
        feed_id = FEED_ID.fullmatch(each.id)
        if symbol is None or feed_id is None:
            continue
        base, hexadecimal = symbol[1], feed_id[1].lower()
        known = KNOWN_IDS.get(base, hexadecimal)
        if hexadecimal != known:
            refused[base] = f"its feed is {known[:8]}..., the server says {hexadecimal[:8]}..."
        elif by_base.setdefault(base, hexadecimal) != hexadecimal:
            refused[base] = "the server lists several feeds for it"
    doubtful = [base for base in refused if base not in KNOWN_IDS or base not in by_base]
    for base in doubtful:
        by_base.pop(base, None)
    return FeedIds(by_base, {base: refused[base] for base in doubtful})
