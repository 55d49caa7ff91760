"""docs/strategies.md says of every strategy what the catalogue says, and shows its signal."""

import re
from pathlib import Path

import pytest

from strategies import catalog
from strategies.base import Strategy

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE_BYTES_MAX = 60_000
RANGE = re.compile(r"(\w+)(?: \([^)]*\))? (\d[\d.]*?)\.\.(\d+(?:\.\d+)?)")
"""lookback 2..200 and the like."""

every_strategy = pytest.mark.parametrize(
    "strategy", catalog.STRATEGIES, ids=lambda strategy: strategy.name
)


def page() -> str:
    return (DOCS / "strategies.md").read_text(encoding="utf-8")


def row(strategy: Strategy) -> list[str]:
    """Its row of the table of the catalogue, cell by cell."""
    table = page().split("## The catalogue")[1].split("\n#")[0]
    name = ", ".join((strategy.name, *strategy.aliases))
    [line] = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@every_strategy
def test_the_table_agrees_with_the_catalogue(strategy: Strategy) -> None:
    _, family, _, _, params, closed_bars = row(strategy)
    assert family == strategy.family
    assert int(closed_bars) == strategy.warm_up_bars()
    told = dict(part.split()[:2] for part in params.split(", "))
    assert {name: float(value) for name, value in told.items()} == {
        param.name: param.default for param in strategy.params if param.name != "threshold"
    }


@every_strategy
def test_its_section_gives_ranges_source_and_picture(strategy: Strategy) -> None:
    section = page().split("## One by one")[1].split(f"### {strategy.name}")[1].split("\n##")[0]
    assert "Source:" in section
    assert f"(strategies/{strategy.name}.png)" in section
    told = {name: (float(low), float(high)) for name, low, high in RANGE.findall(section)}
    assert told == {
        param.name: (param.min, param.max) for param in strategy.params if param.name != "threshold"
    }
    picture = (DOCS / "strategies" / f"{strategy.name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < PICTURE_BYTES_MAX


def test_no_picture_is_of_a_strategy_that_is_gone() -> None:
    drawn = {path.stem for path in (DOCS / "strategies").glob("*.png")}
    assert drawn == {strategy.name for strategy in (*catalog.STRATEGIES, catalog.ENSEMBLE)}
