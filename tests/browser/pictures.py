"""Take the pictures of the README from the demo: `python3 -m tests.browser.pictures`.

It needs a Chromium (CHROMIUM names one that is not on the PATH), walks the demo as a person would, and writes into
`.pictures/`. What "trains" and "writes" there is the n-gram of the demo.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import PATIENCE, ROOT, Visitor, find_chromium, visiting

if TYPE_CHECKING:
    from playwright.async_api import Locator

FOLDER = ROOT / ".pictures"
WIDTH = 520
"""Pixels: a message with an embed is no wider."""
_LOADED = "message => [...message.querySelectorAll('img[alt^=Embed]')].every(image => image.naturalWidth)"


async def _take(visitor: Visitor, message: Locator, name: str) -> None:
    """One message as a picture, once it stands still, without the empty room to its right."""
    await visitor.still()
    async with asyncio.timeout(PATIENCE / 1000):
        while not await message.evaluate(_LOADED):
            await asyncio.sleep(0.2)
    await message.evaluate("message => message.scrollIntoView({ block: 'center' })")
    await visitor.still()
    await visitor.page.mouse.move(0, 0)
    box = await message.bounding_box()
    assert box is not None
    clip = {"x": box["x"], "y": box["y"], "width": WIDTH, "height": box["height"]}
    await visitor.page.screenshot(path=FOLDER / f"{name}.png", clip=clip)


async def _most_original(drafts: list[Locator]) -> Locator:
    """The draft that is least like a post, and that reblogs nothing if there is one."""

    async def closeness(draft: Locator) -> tuple[bool, int]:
        text = await draft.inner_text()
        found = re.search(r"([0-9]+)%, to", text)
        return " wrote:" in text, int(found[1]) if found else 0

    measured = [await closeness(draft) for draft in drafts]
    return drafts[measured.index(min(measured))]


async def take_pictures(chromium: str, directory: Path) -> None:
    async with visiting(chromium, FOLDER, directory, 1000, 860) as visitor:
        await visitor.uses("/download")
        await visitor.sees("Done: 240 new posts.", visitor.message("Downloading posts"))
        await visitor.still()
        await visitor.picture("demo")
        await visitor.page.set_viewport_size({"width": 1000, "height": 1300})
        await visitor.presses("Make training data")
        await visitor.sees("examples to train on", visitor.message("Making training data"))
        await visitor.presses("Moderate next")
        await visitor.sees("left to train on", visitor.message("Screening training data"))
        await visitor.presses("Train a voice")
        await visitor.sees("Nothing is uploaded or paid for before you press the button.")
        await visitor.presses("Start training")
        training = visitor.message("Training a voice")
        await visitor.sees("the new voice is active", training)
        await _take(visitor, training, "training")
        write = visitor.page.get_by_role("button", name="Write drafts", exact=True).last
        await visitor.presses_until(write, "wait for your decision", visitor.message("Writing drafts"))
        drafts = [visitor.message(f"Draft {number}") for number in (1, 2, 3)]
        for draft in drafts:
            await visitor.sees("Waiting for you", draft)
        draft = await _most_original(drafts)
        await _take(visitor, draft, "draft")
        approve = draft.get_by_role("button", name="Approve")
        await visitor.presses_until(approve, "Approved by keeper", draft)
        await visitor.uses("/status")
        await visitor.sees("1 uploaded")
        await _take(visitor, visitor.message("Where everything stands"), "status")


def main() -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("There is no Chromium here: install one, or name it with CHROMIUM.")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(take_pictures(chromium, Path(directory)))
    print(*sorted(str(picture.relative_to(ROOT)) for picture in FOLDER.glob("*.png")), sep="\n")


if __name__ == "__main__":
    main()
