"""/budget and the caps beside the month's: what people see, and what stops before the call."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import Settings
from bot.demo.world import World
from bot.drafts import Person
from bot.store import spending
from tests.cogs.acts import answer, buttons, line, outcome, rows, said, small_world, stage, up_to


async def spend(world: World, dollars: float, *, purpose: str = "writing", model: str = "m", days: float = 0) -> int:
    async with world.app.database.write() as connection:
        return await spending.reserve(
            connection,
            purpose=purpose,
            job_id=None,
            model=model,
            dollars=dollars,
            limit=1_000.0,
            now=world.app.clock() - days * 86_400,
        )


async def shown(world: World) -> str:
    return said(await world.reviewer.slash(world.channel, "budget"))


def capped(**budget: float):
    def configure(settings: Settings) -> Settings:
        return settings.model_copy(update={"budget": settings.budget.model_copy(update=budget)})

    return configure


MIDDLE = 1_779_300_000.0  # 2026-05-20, 18:00 UTC: yesterday is in the same month


async def test_the_budget_shows_purposes_models_what_is_open_allowed_and_left(tmp_path: Path):
    async with small_world(tmp_path, posts=0, clock=lambda: MIDDLE) as world:
        assert "By purpose: nothing yet" in await shown(world)
        entry = await spend(world, 3.0, purpose="fine-tuning", model="**big**", days=1)
        async with world.app.database.write() as connection:
            await spending.settle(connection, entry, dollars=2.0)
            await spending.allow(connection, Person(1, "keeper"), 5.0, now=MIDDLE)
        await spend(world, 1.5)
        await spend(world, 9.0, days=40)
        text = await shown(world)
        assert "This month (UTC): $3.50 of $25.00; $21.50 left. $5.00 of it were allowed beside" in text
        assert "Today (UTC): $1.50" in text
        assert "Set aside: $1.50 for 1 call under way, or whose answer was lost" in text
        assert "fine-tuning: $2.00, $0.00 of it today (1 call)\nwriting: $1.50, $1.50 of it today (1 call)" in text
        assert "\\*\\*big\\*\\*: $2.00" in text
        assert "Little is left" not in text
        status = said(await world.owner.slash(world.channel, "status"))
        assert "This month: $3.50 of $25.00" in status
        assert "Little is left" not in status


async def test_the_last_fifth_warns_on_budget_and_status(tmp_path: Path):
    async with small_world(tmp_path, posts=0, clock=lambda: MIDDLE, configure=capped(monthly_limit=10.0)) as world:
        await spend(world, 7.5)
        assert "Little is left" not in await shown(world)
        await spend(world, 0.5)
        warning = "Little is left of this month's budget: $2.00."
        assert warning in await shown(world)
        assert warning in said(await world.reviewer.slash(world.channel, "status"))


async def test_the_last_fifth_of_a_day_warns_too(tmp_path: Path):
    async with small_world(tmp_path, posts=0, clock=lambda: MIDDLE, configure=capped(per_day=1.0)) as world:
        await spend(world, 5.0, days=1)
        assert "Today (UTC): $0.00 of $1.00; $1.00 left" in await shown(world)
        await spend(world, 0.9)
        assert "Little is left of today's budget (UTC): $0.1" in await shown(world)


async def test_a_limit_of_nothing_is_said(tmp_path: Path):
    async with small_world(tmp_path, posts=0, configure=capped(monthly_limit=0.0)) as world:
        assert "With a limit of 0 nothing is called that costs money." in await shown(world)


async def test_many_models_keep_discords_limits(tmp_path: Path):
    async with small_world(tmp_path, posts=0, clock=lambda: MIDDLE) as world:
        for number in range(40):
            await spend(world, 0.25, model=f"{number} " + "*" * 200)
        assert "and 34 more: $8.50" in await shown(world)


@pytest.mark.parametrize(
    ("cap", "sentence", "way_out"),
    [
        ("per_run", "This would pass the budget of a run: ", "Begin another run, or let the owner raise `per_run`"),
        ("per_day", "This would pass the budget of a day (UTC): ", "Go on tomorrow, or let the owner raise `per_day`"),
    ],
)
async def test_a_run_stops_at_its_cap_and_says_which(tmp_path: Path, cap: str, sentence: str, way_out: str):
    async with small_world(tmp_path, configure=capped(**{cap: 0.002})) as world:
        await up_to(world, "examples")
        offered = await world.owner.slash(world.channel, "generate", count=50)
        await world.owner.click(answer(offered), label="Start writing")
        first = await outcome(world, "generate")
        assert sentence in line(first)
        assert way_out in line(first)
        assert not [label for label in buttons(first) if "Allow" in label]
        ((kept,),) = await rows(world, "SELECT count(*) FROM drafts")
        assert 0 < kept < 50
        assert await spending.used_this_month(world.app.database, world.app.clock()) <= 0.002
        await spend(world, 0.002)  # of no run, but of today
        second = await stage(world, "generate", count=1)
        if cap == "per_run":
            assert "a draft waits" in line(second)
        else:
            assert sentence in line(second)
            raised = await world.owner.slash(world.channel, "config set", option="budget.per_day", value="1")
            await world.owner.click(answer(raised), label="Apply")
            assert "a draft waits" in line(await stage(world, "generate", count=1))


@pytest.mark.parametrize("cap", ["per_run", "per_day"])
async def test_a_training_and_a_comparison_keep_the_caps_too(tmp_path: Path, cap: str):
    async with small_world(tmp_path) as world:
        await up_to(world, "examples")
        await stage(world, "generate", count=1)
        await world.owner.slash(world.channel, "voices add", model="gpt-4o-mini")
        world.app.settings = capped(**{cap: 0.000001})(world.app.settings)
        asked = len(world.openai.requests)
        assert f"`{cap}` under [budget]" in line(await stage(world, "finetune"))
        begun = await world.owner.slash(world.channel, "voices compare", one="1", other="2", rounds=1)
        assert "Both voices have begun" in said(begun)
        compared = await outcome(world, "voices compare")
        assert f"`{cap}` under [budget]" in line(compared)
        assert not [label for label in buttons(compared) if "Allow" in label]
        assert not [request for request in world.openai.requests[asked:] if request.method == "POST"]
