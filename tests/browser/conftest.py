"""The demo as a process of its own, its page in a real Chromium, and what a person does on it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

ROOT = Path(__file__).parents[2]
# --no-sandbox: in a container one is root, and Chromium then starts in no other way. It sees nothing but our page.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PRESSES = 4
_STILL = """
() => new Promise(done => {
    const list = document.querySelector("#channel-message-list");
    let timer = setTimeout(end, 600);
    const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(end, 600); });
    observer.observe(list, { childList: true, subtree: true, characterData: true });
    setTimeout(end, 6000);
    function end() { observer.disconnect(); done(); }
})
"""
"""Ends when the messages have not changed for 0.6 seconds, or after six: a running job is redrawn for ever."""
PATIENCE = 40_000  # milliseconds: the machine may be busy


@dataclass
class Visitor:
    """A person at the page."""

    page: Page
    pictures: Path

    async def uses(self, command: str) -> None:
        """Type a slash command into the box, take it from the list, and send it."""
        box = self.page.locator("#channel-composer-input")
        await box.click()
        await box.press_sequentially(command, delay=20)
        from playwright.async_api import expect

        entry = self.page.get_by_role("listbox").get_by_text(command, exact=True).first
        await expect(entry).to_be_visible()
        await box.press("Enter")
        await expect(self.page.locator("#send-message")).to_be_enabled()
        await self.page.locator("#send-message").click()

    async def presses(self, label: str) -> None:
        """Press the newest button with this label, once the page stands still."""
        await self.still()
        await self.page.get_by_role("button", name=label, exact=True).last.click()

    async def still(self) -> None:
        """Wait until nothing has been redrawn for a moment: a click meanwhile would be lost."""
        await self.page.evaluate(_STILL)

    async def presses_until(self, button: Locator, words: str, within: Locator) -> None:
        """Press a button, and again where nothing came of it: a click on a page that is being redrawn is lost."""
        from playwright.async_api import expect

        for _ in range(_PRESSES):
            await self.still()
            await button.click()
            try:
                await expect(within).to_contain_text(words, timeout=PATIENCE / _PRESSES)
            except AssertionError:
                continue
            return
        await self.sees(words, within)

    async def presses_at_once(self, label: str) -> None:
        """Press the newest button with this label now: a click waits until a page that is redrawn stands still."""
        await self.page.get_by_role("button", name=label, exact=True).last.dispatch_event("click")

    def message(self, words: str) -> Locator:
        """The newest message with a part that says exactly this: its title, its footer."""
        here = self.page.get_by_text(words, exact=True)
        return self.page.locator("article.channel-message").filter(has=here).last

    async def sees(self, words: str, within: Locator | None = None) -> None:
        """Wait until these words are on the page, or in a part of it."""
        from playwright.async_api import expect

        place = within or self.page.locator("#channel-message-list")
        await expect(place).to_contain_text(words)

    async def picture(self, name: str) -> None:
        """Leave a screenshot."""
        await self.page.screenshot(path=self.pictures / f"{name}.png")

    async def complaint(self) -> str:
        """What the page says of the last action, if that was refused or lost."""
        status = await self.page.locator("#action-status").inner_text()
        return status if "not completed" in status or "uncertain" in status else ""


Visit = Callable[[int, int], AbstractAsyncContextManager[Visitor]]


def find_chromium() -> str | None:
    """Where Chromium is, if there is one."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; without one the test is skipped."""
    found = find_chromium()
    if found is None:
        pytest.skip("there is no Chromium here: install one, or name it with CHROMIUM")
    return found


@pytest.fixture
def pictures() -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("SCREENSHOTS") or ROOT / "artifacts" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
async def visit(chromium: str, pictures: Path, tmp_path: Path) -> Visit:
    """Opens the page of a demo of its own, in a window of so many pixels."""
    return partial(visiting, chromium, pictures, tmp_path)


@asynccontextmanager
async def visiting(chromium: str, pictures: Path, directory: Path, width: int, height: int) -> AsyncIterator[Visitor]:
    """A person at the page of a demo of its own, whose log goes into the directory."""
    from playwright.async_api import async_playwright, expect

    async with _demo(directory) as address, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        visitor = Visitor(page, pictures)
        try:
            await page.goto(address)
            yield visitor
        except BaseException:
            await visitor.picture("where it failed")
            raise
        finally:
            await browser.close()


@asynccontextmanager
async def _demo(directory: Path) -> AsyncIterator[str]:
    """Run `demo` as a person would, give its address, and see that Ctrl+C ends it well."""
    log = directory / "demo.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", "demo", "--no-browser"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            address = None
            while address is None:
                line = (await process.stdout.readline()).decode()
                assert line, log.read_text(encoding="utf-8")
                address = re.search(r"http://127\.0\.0\.1:\S+", line)
        yield address[0]
        process.terminate()
        async with asyncio.timeout(20):
            rest, _ = await process.communicate()
        assert process.returncode == 0, rest
        assert "Traceback" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
