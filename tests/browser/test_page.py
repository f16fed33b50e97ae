"""A person at the demo page: the whole way from /download to receipts, presses while a job runs, and a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit, Visitor

if TYPE_CHECKING:
    from playwright.async_api import Locator

expect = pytest.importorskip("playwright.async_api", reason="playwright is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def start(visitor: Visitor) -> Locator:
    """The button of the newest offer of a training."""
    return visitor.page.get_by_role("button", name="Start training", exact=True).last


TOO_WIDE = """
list => [...list.querySelectorAll("article.channel-message, article.channel-message *")]
    .filter(part => part.getClientRects().length && !part.closest("svg, .message-context-actions"))
    .filter(part => part.getBoundingClientRect().right > window.innerWidth + 1
        || part.getBoundingClientRect().left < -1)
    .map(part => `${part.tagName}.${part.className}: ${part.textContent.slice(0, 60)}`)
"""
"""The parts of messages that lie outside the window."""


async def test_a_person_walks_from_the_download_to_receipts(visit: Visit):
    async with visit(1200, 1000) as visitor:
        await visitor.sees("A small world to try the bot in")
        await visitor.picture("01 greeting")
        await visitor.uses("/download")
        progress = visitor.message("Downloading posts")
        await visitor.sees(" a second", progress)
        await expect(progress.get_by_role("button", name="Stop")).to_be_visible()
        await visitor.picture("02 downloading")
        await visitor.sees("Done: 240 new posts.", progress)
        await expect(progress.get_by_role("button", name="Stop")).to_have_count(0)
        await visitor.picture("03 downloaded")
        await visitor.presses("Make training data")
        await visitor.sees("examples to train on", visitor.message("Making training data"))
        await visitor.presses("Moderate next")
        await visitor.sees("left to train on", visitor.message("Screening training data"))
        await visitor.picture("04 screened")
        await visitor.presses("Train a voice")
        await visitor.sees("Nothing is uploaded or paid for before you press the button.")
        await visitor.picture("05 what training would cost")
        await visitor.presses("Start training")
        training = visitor.message("Training a voice")
        await visitor.sees("Loss", training)
        await visitor.picture("06 training")
        await visitor.sees("the new voice is active", training)
        await visitor.picture("07 trained")
        write = visitor.page.get_by_role("button", name="Write drafts", exact=True).last
        await visitor.presses_until(write, "wait for your decision", visitor.message("Writing drafts"))
        for number in (1, 2, 3):
            await visitor.sees("Waiting for you", visitor.message(f"Draft {number}"))
        await visitor.picture("08 drafts")

        first, second, third = (visitor.message(f"Draft {number}") for number in (1, 2, 3))
        await visitor.sees("saves it as a draft on lighthouse-keepers-log", first)
        approve = first.get_by_role("button", name="Approve")
        await visitor.presses_until(approve, "Saved as a draft on lighthouse-keepers-log. Approved by keeper", first)
        await expect(first.get_by_role("link", name="Open on Tumblr")).to_be_visible()
        await expect(first.get_by_role("button", name="Approve")).to_have_count(0)
        await visitor.picture("09 a receipt")

        await visitor.still()
        await second.get_by_role("button", name="Edit").click()
        await expect(visitor.page.get_by_role("dialog")).to_contain_text("Edit draft 2")
        await visitor.picture("10 the form")
        await visitor.page.get_by_label("Text").first.fill("the light is lit.\n\nnobody came.")
        await visitor.page.get_by_label("Tags, separated by commas").fill("lamp, patience")
        await visitor.page.get_by_role("button", name="Submit").click()
        await visitor.sees("nobody came.", second)
        await visitor.sees("#lamp #patience", second)
        await visitor.sees("by hand", second)
        await visitor.picture("11 edited")

        await visitor.presses_until(third.get_by_role("button", name="Reject"), "It will not be posted.", third)
        await visitor.picture("12 rejected")

        await visitor.uses("/status")
        await visitor.sees("1 waiting, 1 uploaded")
        await visitor.message("Where everything stands").scroll_into_view_if_needed()
        await visitor.picture("13 status")
        await visitor.uses("/drafts list")
        await visitor.sees("Draft 2: the light is lit. nobody came.")
        await visitor.message("Drafts").scroll_into_view_if_needed()
        await visitor.picture("14 the queue")
        assert not await visitor.complaint()


async def test_a_press_counts_while_a_job_goes_on(visit: Visit):
    async with visit(1200, 1000) as visitor:
        await visitor.presses("Download posts")
        await visitor.sees(" a second", visitor.message("Downloading posts"))
        for number in range(1, 6):
            await visitor.uses("/status")
            shown = visitor.page.get_by_text("Where everything stands", exact=True)
            await expect(shown).to_have_count(number)
            assert not await visitor.complaint()
        await visitor.uses("/generate")
        await visitor.sees("Waiting for you", visitor.message("Draft 1"))
        await visitor.uses("/examples")
        await visitor.sees("examples to train on")
        await visitor.uses("/finetune")
        await visitor.presses_until(start(visitor), " says: ", visitor.message("Training a voice"))
        await _edit_meanwhile(visitor)
        await visitor.sees("Done: the new voice is active.", visitor.message("Training a voice"))
        await visitor.uses("/finetune")
        await visitor.presses_until(start(visitor), " says: ", visitor.message("Training a voice"))
        await visitor.presses_at_once("Stop")
        await visitor.sees("The training is cancelled at its service as well.", visitor.message("Training a voice"))
        assert not await visitor.complaint()
        await visitor.picture("20 stopped")


async def _edit_meanwhile(visitor: Visitor) -> None:
    """Write into a form while the page is redrawn behind it."""
    await visitor.message("Draft 1").get_by_role("button", name="Edit").click()
    field = visitor.page.get_by_label("Text").first
    await field.fill("")
    await field.press_sequentially("slowly, as one writes by lamplight.", delay=60)
    await expect(field).to_have_value("slowly, as one writes by lamplight.")
    await visitor.page.get_by_role("button", name="Submit").click()
    await visitor.sees("slowly, as one writes by lamplight.", visitor.message("Draft 1"))
    assert not await visitor.complaint()


async def test_it_fits_a_phone(visit: Visit):
    async with visit(390, 844) as visitor:
        await visitor.sees("A small world to try the bot in")
        await visitor.still()  # the page slides in
        await _fits(visitor, "30 phone greeting")
        await visitor.presses("Download posts")
        await visitor.sees(" a second", visitor.message("Downloading posts"))
        await _fits(visitor, "31 phone downloading")
        await visitor.sees("Done: 240 new posts.")
        await visitor.uses("/generate")
        draft = visitor.message("Draft 3")
        await visitor.sees("Waiting for you", draft)
        for label in ("Approve", "Edit", "Regenerate", "Reject"):
            await draft.get_by_role("button", name=label).click(trial=True)
        await _fits(visitor, "32 phone drafts")
        await draft.get_by_role("button", name="Edit").click()
        submit = visitor.page.get_by_role("button", name="Submit")
        await submit.click(trial=True)
        await visitor.picture("33 phone form")
        await submit.click()
        await visitor.sees("Draft 3 has its new text.")
        await draft.get_by_role("button", name="Approve").click()
        await visitor.sees("Saved as a draft", draft)
        await _fits(visitor, "34 phone receipt")
        assert not await visitor.complaint()


async def _fits(visitor: Visitor, picture: str) -> None:
    await visitor.picture(picture)
    assert await visitor.page.locator("#channel-message-list").evaluate(TOO_WIDE) == []
    wider = "document.documentElement.scrollWidth - window.innerWidth"
    assert await visitor.page.evaluate(wider) <= 0
