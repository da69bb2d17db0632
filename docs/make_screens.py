"""Makes pictures of the page's screens, with a service on the simulated rig: `make pictures`.

    python docs/make_screens.py FOLDER

Every screen is taken at three sizes into FOLDER, to be looked at; those that guide.md shows go into docs/pictures.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page, expect, sync_playwright

_PICTURES = Path(__file__).parent / "pictures"
_SIZES = {"desk": (1280, 800), "wide": (1600, 1000), "phone": (390, 844)}
_SHOWN = {
    "desk-live-view": "page-live-view", "desk-shooting": "page-shoot", "desk-compare": "page-compare",
    "desk-surface": "page-surface", "phone-shooting": "page-phone",
}  # fmt: skip
_RIG = {"camera": {"um_per_px": 4.63}, "stacking": {"preview_every": 3}, "outputs": {"mesh": True}}
_PATIENCE_MS = 120_000
_LARGEST_BYTES = 140_000


@contextmanager
def serving(folder: Path, *, port: int, **rig: Any) -> Iterator[str]:
    """A service on the simulated rig, or another; yields its address."""
    config = folder / "focusrail.yaml"
    config.write_text(yaml.safe_dump({**_RIG, **rig, "service": {"listen": f"127.0.0.1:{port}"}}))
    command = [sys.executable, "-m", "focusrail", "--config", str(config), "--data", str(folder / "data"), "serve"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def token(folder: Path) -> str:
    """What opens the door, as soon as the service has made it."""
    path = folder / "data" / "token"
    late_s = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < late_s, "the service did not begin"
        time.sleep(0.1)
    return path.read_text().strip()


def save(page: Page, path: Path) -> None:
    """As good a picture as has room."""
    for quality in range(84, 50, -4):
        page.screenshot(path=path, type="jpeg", quality=quality)
        if path.stat().st_size <= _LARGEST_BYTES:
            return


class Screens:
    """The same page on screens of several sizes."""

    def __init__(self, browser: Any, address: str, opener: str, folder: Path) -> None:
        self._address, self._opener, self._folder = address, opener, folder
        self.pages: dict[str, Page] = {}
        for name, (width, height) in _SIZES.items():
            phone = name == "phone"
            context = browser.new_context(
                viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone, locale="en-GB",
                reduced_motion="reduce",
            )  # fmt: skip
            context.set_default_timeout(_PATIENCE_MS)
            self.pages[name] = context.new_page()

    def ask(self, path: str, body: Any = None) -> Any:
        """The API, as the page asks it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}/api{path}", data=data)
        request.add_header("Authorization", f"Bearer {self._opener}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def wait(self, until: Any) -> None:
        """Until the status is such."""
        late_s = time.monotonic() + _PATIENCE_MS / 1000
        while not until(self.ask("/status")):
            assert time.monotonic() < late_s
            time.sleep(0.05)

    def open(self, where: str) -> None:
        for page in self.pages.values():
            page.goto(f"{self._address}{where}")

    def enter(self) -> None:
        """With the token, as from `focusrail token`."""
        self.open(f"/?token={self._opener}")
        self.see("#health-word", "Ready")

    def each(self, act: Any) -> None:
        for page in self.pages.values():
            act(page)

    def see(self, selector: str, text: str) -> None:
        self.each(lambda page: expect(page.locator(selector).first).to_contain_text(text, timeout=_PATIENCE_MS))

    def go(self, where: str) -> None:
        self.each(lambda page: page.evaluate("where => { location.hash = where; }", where))

    def take(self, screen: str, *, settle_ms: int = 400, only: str = "") -> None:
        """A picture of what is seen now, at every size; on the phone also of all there is to scroll to."""
        for name, page in self.pages.items():
            if only not in ("", name):
                continue
            page.wait_for_timeout(settle_ms if name in ("desk", only) else 50)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=self._folder / f"{name}-{screen}.png")
            if (name_ := _SHOWN.get(f"{name}-{screen}")) is not None:
                save(page, _PICTURES / f"{name_}.jpg")
            if name == "phone" and page.evaluate("() => document.scrollingElement.scrollHeight > innerHeight + 20"):
                page.screenshot(path=self._folder / f"{name}-{screen}-whole.png", full_page=True)


def rig_by_hand(screens: Screens) -> None:
    """Getting in, looking, planning."""
    screens.open("/")
    screens.see("#gate-title", "token")
    screens.take("gate")
    screens.enter()
    screens.take("first")
    screens.ask("/rail/home", {})
    screens.ask("/rail/goto", {"position_mm": 12.0})
    for name, page in screens.pages.items():  # one at a time: without a graphics card, drawing takes its time
        page.get_by_role("button", name="Live view").click()
        expect(page.locator(".live-view canvas")).to_be_visible()
        screens.take("live-view", only=name, settle_ms=1500)
        page.locator(".live-view").get_by_role("button", name="100 %").click()
        screens.take("live-view-100", only=name, settle_ms=1000)
        page.get_by_role("button", name="Composite").first.click()
    screens.each(lambda page: page.fill("#f-to", "99"))
    screens.see("#plan-error", "travel")
    screens.take("plan-error")
    screens.each(lambda page: page.fill("#f-to", "14.7"))
    screens.see("#p-frames", "30")


def shoot(screens: Screens) -> None:
    """One shoot with a pause, seen by all."""
    screens.pages["desk"].click("#capture")
    screens.wait(lambda told: (told["progress"] or {}).get("stored", 0) >= 1)
    screens.take("begun", settle_ms=0)
    screens.wait(lambda told: (told["progress"] or {}).get("fused", 0) >= 12)
    screens.take("shooting")
    screens.pages["phone"].click("#pause")  # else it may be over before all have been taken
    screens.see("#pause-word", "Resume")
    screens.take("paused", settle_ms=1500)
    for words, name in (("Depth", "paused-depth"), ("Last frame", "paused-frame"), ("Live view", "paused-live")):
        screens.each(lambda page, words=words: page.locator(".stage-tabs").get_by_role("button", name=words).click())
        screens.take(name)
    screens.each(lambda page: page.get_by_role("button", name="Composite").first.click())
    screens.pages["phone"].click("#pause")
    screens.see(".toast", "Published")
    screens.take("published", settle_ms=1000)


def gallery(screens: Screens) -> None:
    """All there is to see of what was shot."""
    newest = screens.ask("/shoots?limit=1")[0]["shoot_id"]
    screens.go("#/gallery")
    screens.see("#cards", "demo")
    screens.take("gallery", settle_ms=1000)
    screens.go(f"#/shoots/{newest}")
    screens.each(lambda page: expect(page.locator("#viewer .layer img").first).to_be_visible())
    screens.take("result")
    screens.each(lambda page: page.locator("#viewer").get_by_role("button", name="100 %").click())
    screens.take("deep-zoom")
    for tab in ("Compare", "Depth", "3D", "Frames"):
        screens.each(lambda page, tab=tab: page.get_by_role("tab", name=tab).click())
        if tab == "3D":
            screens.each(lambda page: expect(page.locator("#viewer .size")).to_contain_text("mm"))
        screens.take({"3D": "surface"}.get(tab, tab.lower()), settle_ms=1500)
        if tab == "3D":
            screens.each(lambda page: page.get_by_role("radio", name="Height").click())
            screens.take("surface-height")


def trouble(screens: Screens) -> None:
    """What goes wrong."""
    screens.go("#/")
    screens.pages["desk"].click("#capture")
    screens.wait(lambda told: (told["progress"] or {}).get("stored", 0) >= 5)
    screens.pages["phone"].click("#abort")
    screens.see(".toast", "Aborted")
    screens.take("aborted")
    screens.open("/")
    screens.see("#stage-caption", "aborted")
    screens.take("unfinished")
    screens.pages["desk"].keyboard.press("Escape")
    screens.each(lambda page: page.get_by_role("button", name="Save").first.click())
    screens.take("save")
    screens.each(lambda page: page.get_by_role("button", name="Cancel").click())


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed: apt-get install chromium")
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = ExitStack()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = service.enter_context(serving(data, port=port))
        stack.push(service)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        )
        screens = Screens(browser, address, token(data), folder)
        rig_by_hand(screens)
        shoot(screens)
        gallery(screens)
        trouble(screens)
        service.close()
        screens.see("#health-word", "Connection lost")
        screens.take("lost")
        rig = {"rail": {"driver": "grbl", "options": {"port": "/dev/focusrail-none", "travel_max_mm": 60}}}
        with serving(data, port=port, **rig):
            screens.see("#health-word", "Rig not ready")
            screens.take("no-rig")


if __name__ == "__main__":
    main()
