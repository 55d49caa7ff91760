"""What a frame says to one plan: strategies run in the hub, prices are simulated."""

from datetime import UTC, datetime

from api.hub import Hub
from api.sights import FILTERED
from engine.frames import Frame
from strategies.filters import DAYS
from tests.api.rows import agent
from tests.conftest import wait_for


async def test_a_sight_says_when_a_filter_silences_a_strategy(hub: Hub) -> None:
    frame = await wait_for(lambda: hub.sights.frame(hub.clock.slot()), what="a slot with prices")
    assert isinstance(frame, Frame)
    today = DAYS[datetime.fromtimestamp(frame.slot, UTC).weekday()]
    others = [day for day in DAYS if day != today]
    says = {
        plan_id: await hub.sights.at(
            agent(plan_id=plan_id, strategy_name=name, strategy_params=params), frame
        )
        for plan_id, name, params in (
            (1, "rsi_signal", {}),
            (2, "rsi_signal", {"day_of_week_filter": [today]}),
            (3, "rsi_signal", {"day_of_week_filter": others}),
        )
    }
    assert [says[plan_id].silenced for plan_id in (1, 2, 3)] == ["", "", FILTERED]
    assert says[3].signal == 0.0 and "no trading on" in says[3].detail
