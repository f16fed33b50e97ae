"""/budget and the caps beside the month's: what people see, and what stops before the call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Settings
from bot.demo.openai_service import ModelCard
from bot.demo.world import World
from bot.drafts import Person
from bot.store import spending
from tests.cogs.acts import (
    QUICK,
    answer,
    buttons,
    line,
    outcome,
    pause,
    rows,
    said,
    shown_with,
    small_world,
    stage,
    up_to,
)


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


async def test_offers_name_the_cap_that_binds_and_warn_in_the_last_fifth(tmp_path: Path):
    async with small_world(tmp_path, clock=lambda: MIDDLE) as world:
        await up_to(world, "moderate")  # the SDK is loaded then, and not while a person waits

        async def offers(**budget: float) -> list[str]:
            world.app.settings = capped(**budget)(world.app.settings)
            written = await world.owner.slash(world.channel, "generate", count=50)
            return [said(written), said(await world.owner.slash(world.channel, "finetune"))]

        for text in await offers():
            assert "Budget: $20.00 of $20.00 left this month" in text
            assert "Please note" not in text
        for text in await offers(per_day=0.002):
            assert "Budget: $0.0020 of $0.0020 left today (UTC)" in text
        for text in await offers(per_run=0.001):
            assert "Budget: at most $0.0010 for one run, as `per_run` says" in text
        write, train = await offers(per_run=0.00001)
        assert "more than the budget allows for one run, as `per_run` says: the run will stop there." in write
        assert "more than the budget allows for one run, as `per_run` says: it will not be begun." in train
        await spend(world, 17.0)
        for text in await offers(per_run=0.0, per_day=0.0):
            assert "Budget: $3.00 of $20.00 left this month" in text
            assert "Please note: Little is left of this month's budget: $3.00." in text


async def test_the_progress_of_what_costs_warns_in_the_last_fifth(tmp_path: Path):
    async with small_world(tmp_path, clock=lambda: MIDDLE) as world:
        assert "Little is left" not in line(await stage(world, "download"))
        assert "Little is left" not in line(await stage(world, "generate", count=1))
        await spend(world, 17.0)
        assert "Little is left" not in line(await stage(world, "download"))  # it costs nothing
        assert "Little is left of this month's budget: $" in line(await stage(world, "generate", count=1))
        spent = await spending.spent_on_job(world.app.database, 4)
        world.app.settings = capped(monthly_limit=100.0, per_run=spent * 1.1)(world.app.settings)
        shown = line(await stage(world, "generate", count=1))
        assert "Little is left of this run's budget: " in shown or "This would pass the budget of a run" in shown


async def test_the_owner_is_told_once_of_each_month_and_day(tmp_path: Path):
    title, now = "Little is left of the budget", [MIDDLE]
    pace = replace(QUICK, notice_look=0.05)
    limits = capped(monthly_limit=10.0, per_day=2.0)
    async with small_world(tmp_path, posts=0, clock=lambda: now[0], pace=pace, configure=limits) as world:

        async def told(number: int) -> str:
            shown = await world.until(lambda: found if len(found := shown_with(world, title)) >= number else None)
            await pause(0.2)
            assert len(shown_with(world, title)) == number
            return line(shown[-1])

        await spend(world, 1.0)
        await pause(0.2)
        assert not shown_with(world, title)
        await spend(world, 0.7)
        first = await told(1)
        assert "Little is left of today's budget (UTC): $0.30." in first
        assert "this month" not in first
        await world.restart()
        now[0] += 86_400
        await spend(world, 7.0)
        second = await told(2)
        assert "Little is left of this month's budget: $1.30. Little is left of today's budget (UTC): $0.00." in second
        now[0] += 30 * 86_400
        await spend(world, 9.5)
        await told(3)


async def test_a_limit_of_nothing_is_said(tmp_path: Path):
    async with small_world(tmp_path, posts=0, configure=capped(monthly_limit=0.0)) as world:
        assert "With a limit of 0 nothing is called that costs money." in await shown(world)


async def test_a_model_of_ones_own_on_this_machine_writes_on_a_budget_of_nothing(tmp_path: Path):
    def own(settings: Settings) -> Settings:
        generation = settings.openai.generation.model_copy(update={"model": "qwen3:4b"})
        openai = settings.openai.model_copy(update={"generation": generation})
        return capped(monthly_limit=0.0)(settings.model_copy(update={"openai": openai}))

    async with small_world(tmp_path, configure=own) as world:
        world.openai.models["qwen3:4b"] = ModelCard()
        await up_to(world, "download")
        assert "a draft waits" in line(await stage(world, "generate", count=1))
        assert await rows(world, "SELECT DISTINCT model, reserved, spent FROM spending") == [("qwen3:4b", 0.0, 0.0)]


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
