"""Random lives of a small table of agents, as hypothesis draws them.

A scenario says what happens in relative words ("the price goes to the stop of row 1", "the newest
epoch and one more"), since what is interesting depends on where the table stands by then.
"""

import math
from dataclasses import dataclass

from hypothesis import strategies as st

from engine.commands import ExitMode, SizingMode, Wanted
from engine.rows import Halt

PLANS = 3
ROWS = 4
NO_SUCH_PLAN = 4_000_000_000

# Slots that a table begins in: the first ones, now, before midnight, and the last ones that fit.
FIRST_SLOTS = (1, 1_730_000_000, 1_730_073_595, 2**32 - 2_000)

LEVELS = (
    *("stop_loss_price", "take_profit_price", "liquidation_price", "entry_price"),
    *("best_price", "break_even_price"),
)


@dataclass(frozen=True)
class Wish:
    """A command in the making. epoch_step counts from the row's epoch: 1 is new, 0 or -1 is old.

    asked_before: so many epochs ago its wish was asked for; None says nothing of it.
    """

    row: int
    wanted: Wanted
    epoch_step: int
    newcomer: bool
    close_position: bool
    configuration: int
    times: int
    asked_before: int | None = None


@dataclass(frozen=True)
class Configuration:
    plan_id: int
    interval: int
    threshold: float
    max_position_usd: float
    stop_loss_ppm: int
    take_profit_ppm: int
    leverage: int
    fee_cbps: int
    slippage_cbps: int
    max_session_loss_usd: float
    tp_sl_mode: ExitMode = ExitMode.FIXED
    sizing_mode: SizingMode = SizingMode.FIXED
    halt: Halt = Halt.ACTIVE
    atr_multiple_centi: int = 0
    reward_risk_centi: int = 0
    trailing_stop_bps: int = 0
    break_even_bps: int = 0
    max_drawdown_bps: int = 0
    max_trades_per_day: int = 0
    time_stop_s: int = 0
    cooldown_s: int = 0


@dataclass(frozen=True)
class ToLevel:
    """The price goes exactly to a level of a row's position, or stays where it was without one."""

    row: int
    level: str


@dataclass(frozen=True)
class Seeing:
    """Whether a price can be used: it may be old, or something else may stand in its place."""

    fresh: bool = True
    replaced_by: float | None = None


@dataclass(frozen=True)
class Quote:
    """What one plan sees: its last price times a factor or gone to a level, and its signal."""

    move: float | ToLevel
    seeing: Seeing
    signal: float
    atr_fraction: float = math.nan
    volatility: float = math.nan
    cannot_run: bool = False


@dataclass(frozen=True)
class Gap:
    """`skipped` slots before this one that were not run; `run` is False if it was not, either."""

    skipped: int = 0
    paused: bool = False
    run: bool = True


@dataclass(frozen=True)
class Step:
    """Slots that are not run (paused or missed), then one that is, or of which only the inbox."""

    gap: Gap
    wishes: tuple[Wish, ...]
    quotes: tuple[Quote, ...]
    failed: int | None
    entries: bool = True
    halt: Halt = Halt.ACTIVE
    readings: bool = True  # False: there are none of any plan


@dataclass(frozen=True)
class Scenario:
    first_slot: int
    first_prices: tuple[float, ...]
    configurations: tuple[Configuration, ...]
    steps: tuple[Step, ...]
    symbols: tuple[int, ...] | None = None  # of each plan; None: not known of any


PRICES = st.one_of(
    st.sampled_from([100.0, 96466.11, 1e-8, 1e8]),
    st.floats(-8.0, 8.0).map(lambda exponent: 10.0**exponent),
)
PPM = st.one_of(
    st.sampled_from([20_000, 500, 0, 1, 999_999, 1_000_000, 1_500_000]), st.integers(1, 200_000)
)
RARE_BPS = st.sampled_from([0, 0, 0, 0, 5, 50, 100, 300, 10_000, 65_535])
CONFIGURATIONS = st.builds(
    Configuration,
    plan_id=st.sampled_from([0, 1, 2] * 5 + [PLANS, NO_SUCH_PLAN]),
    interval=st.sampled_from([1, 1, 1, 2, 3, 7]),
    threshold=st.sampled_from([0.5, 0.0, 0.1, 1.0]),
    max_position_usd=st.one_of(
        st.sampled_from([100.0, 1000.0, 0.0, 1e-6, 0.1 + 0.2]), st.floats(0.01, 1e7)
    ),
    stop_loss_ppm=PPM,
    take_profit_ppm=PPM,
    leverage=st.one_of(st.sampled_from([1, 1, 2, 10, 50, 125]), st.integers(1, 125)),
    fee_cbps=st.one_of(st.sampled_from([1000, 0, 65_535]), st.integers(0, 5000)),
    slippage_cbps=st.one_of(st.sampled_from([100, 0, 65_535]), st.integers(0, 5000)),
    max_session_loss_usd=st.one_of(st.sampled_from([0.0, 0.0, 1.0]), st.floats(0.01, 1e4)),
    tp_sl_mode=st.sampled_from([ExitMode.FIXED, ExitMode.FIXED, ExitMode.DYNAMIC]),
    sizing_mode=st.sampled_from([SizingMode.FIXED, *SizingMode]),
    halt=st.sampled_from([Halt.ACTIVE] * 10 + [Halt.REDUCING, Halt.HALTED]),
    atr_multiple_centi=st.sampled_from([200, 50, 1, 65_535]),
    reward_risk_centi=st.sampled_from([200, 100, 1, 65_535]),
    trailing_stop_bps=RARE_BPS,
    break_even_bps=RARE_BPS,
    max_drawdown_bps=st.sampled_from([0, 0, 0, 1, 100, 500, 10_000]),
    max_trades_per_day=st.sampled_from([0, 0, 0, 1, 2]),
    time_stop_s=st.sampled_from([0, 0, 0, 1, 3, 2**32 - 1]),
    cooldown_s=st.sampled_from([0, 0, 0, 1, 4, 2**32 - 1]),
)
WISHES = st.builds(
    Wish,
    row=st.integers(0, ROWS - 1),
    wanted=st.sampled_from(
        [Wanted.RUNNING] * 3 + [Wanted.STOPPED] * 3 + [Wanted.DELETED, Wanted.FAILED]
    ),
    epoch_step=st.sampled_from([1, 1, 1, 1, 3, 0, -1]),
    newcomer=st.sampled_from([False] * 6 + [True]),
    close_position=st.sampled_from([True, True, False]),
    configuration=st.integers(0, 3),
    times=st.sampled_from([1, 1, 1, 2]),
    asked_before=st.sampled_from([None, None, 0, 1, 1, 2, 5]),
)
MOVES: st.SearchStrategy[float | ToLevel] = st.one_of(
    st.sampled_from([1.0] * 4 + [1.0005, 0.9995, 1.03, 0.97, 1.2, 0.8, 0.1, 3.0]),
    st.floats(0.98, 1.02),
    st.builds(ToLevel, st.integers(0, ROWS - 1), st.sampled_from(LEVELS)),
)
READINGS = st.one_of(
    st.sampled_from([0.01, 0.2, 0.002] * 5 + [math.nan, 0.0, -0.1, 1e-9, 1e9, math.inf]),
    st.floats(1e-4, 2.0),
)
QUOTES = st.builds(
    Quote,
    move=MOVES,
    seeing=st.sampled_from(
        [Seeing()] * 40
        + [Seeing(fresh=False)] * 3
        + [Seeing(replaced_by=value) for value in (math.nan, math.inf, 0.0, -1.0)]
    ),
    signal=st.sampled_from([1.0, -1.0, 0.5, -0.5, 0.1, 0.0, math.inf] + [math.nan] * 6),
    atr_fraction=READINGS,
    volatility=READINGS,
    cannot_run=st.sampled_from([False] * 9 + [True]),
)
STEPS = st.builds(
    Step,
    gap=st.sampled_from(
        [Gap()] * 20
        + [Gap(skipped, paused) for skipped in (1, 2, 9) for paused in (False, True)]
        + [Gap(skipped, paused, False) for skipped in (0, 1) for paused in (False, True)]
    ),
    wishes=st.one_of(st.just(()), st.just(()), st.lists(WISHES, min_size=1, max_size=3).map(tuple)),
    quotes=st.tuples(*[QUOTES] * PLANS),
    failed=st.sampled_from([None] * 16 + [0, 1, 2, NO_SUCH_PLAN]),
    entries=st.sampled_from([True] * 9 + [False]),
    halt=st.sampled_from([Halt.ACTIVE] * 8 + [Halt.REDUCING, Halt.HALTED]),
    readings=st.sampled_from([True] * 9 + [False]),
)


def _created(row: int) -> Wish:
    return Wish(row, Wanted.RUNNING, 1, True, True, row, 1)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """All rows but the last begin as running agents, so that most steps have somebody to act on."""
    steps = draw(st.lists(STEPS, min_size=8, max_size=20))
    first = steps[0]
    created = tuple(_created(row) for row in range(ROWS - 1))
    opening = Step(Gap(), created + first.wishes, first.quotes, None)
    return Scenario(
        first_slot=draw(st.sampled_from(FIRST_SLOTS)),
        first_prices=draw(st.tuples(*[PRICES] * PLANS)),
        configurations=draw(st.tuples(*[CONFIGURATIONS] * ROWS)),
        steps=(opening, *steps[1:]),
        symbols=draw(st.sampled_from([None, (0, 0, 0), (0, 1, 0), (-1, 3, 4), (0, 1)])),
    )
