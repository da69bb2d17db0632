"""The page in a real browser: Debian's chromium, driven by playwright, against a service on a small rig."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from peers.served import Service, served

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

expect = api.expect
PATIENCE_MS = 15_000
STEADY = 0.05  # cumulative layout shift; what is good ends at 0.1 (web.dev/articles/cls)
DESKTOP, PHONE = (1280, 800), (360, 740)
FRAMES = 6
RIG: dict[str, Any] = {
    "camera": {"transfer_s": 0.25}, "um_per_px": 24.7, "stacking": {"preview_every": 2}, "outputs": {"mesh": True},
}  # fmt: skip
PLAN = {"#f-from": "10", "#f-to": "14", "#f-amount": str(FRAMES)}
SERIOUS = {"serious", "critical"}
SHIFTS = """
    window.shifted = [];
    new PerformanceObserver((list) => {
      for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted.push(one.value);
    }).observe({ type: "layout-shift", buffered: true });
"""
NOBODY_ANSWERS = re.compile(r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for most tests: none leaves anything going on."""
    with served(tmp_path_factory.mktemp("served"), **RIG) as service:
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        yield browser
        browser.close()


class Visitor:
    """Opens pages, and takes note of what a browser complains about, and of what it asks for elsewhere."""

    def __init__(self, browser: Any) -> None:
        self._browser, self._contexts = browser, []  # type: ignore[var-annotated]
        self.complaints: list[str] = []

    def open(self, service: Service, where: str = "/", *, size: tuple[int, int] = DESKTOP, token: bool = True) -> Any:
        """A page in a browser of its own."""
        base = f"http://127.0.0.1:{service.port}"
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE, is_mobile=size == PHONE,
            reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        if token:
            context.add_cookies([{"name": "focusrail", "value": service.token(), "url": base}])

        def hear(said: Any) -> None:
            if said.type in ("error", "warning"):
                self.complaints.append(said.text)

        context.on("console", hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

        def look(request: Any) -> None:
            if not request.url.startswith((base + "/", "data:", "blob:")):
                self.complaints.append(f"elsewhere: {request.url}")

        context.on("request", look)
        page = context.new_page()
        page.add_init_script(SHIFTS)
        page.goto(base + where)
        return page

    def forgive(self, pattern: str | re.Pattern[str]) -> None:
        """What had to come has come."""
        self.complaints = [said for said in self.complaints if not re.search(pattern, said)]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def visitor(browser: Any) -> Iterator[Visitor]:
    visitor = Visitor(browser)
    yield visitor
    visitor.close()
    assert not visitor.complaints


@pytest.fixture
def idle(service: Service) -> Iterator[None]:
    """However a test ends, nothing goes on after it."""
    yield
    with suppress(AssertionError):
        service.post("/halt", 204)
    service.wait(lambda told: not told["doing"])


def planned(page: Any) -> Any:
    """The page with a small plan, ready to begin."""
    expect(page.locator("#health-word")).to_have_text("Ready")
    page.get_by_role("radio", name="Frames").click()
    for field, value in PLAN.items():
        page.fill(field, value)
    expect(page.locator("#p-frames")).to_have_text(str(FRAMES))
    expect(page.locator("#capture")).to_have_attribute("aria-disabled", "false")
    return page


def check_access(page: Any, screen: str) -> None:
    """axe-core finds nothing that keeps anybody out."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")["violations"]
    bad = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS]
    assert not bad, f"{screen}: {bad}"


def told(page: Any, words: str) -> Any:
    """A message on the page."""
    return page.locator(".toast", has_text=words)


def is_drawn(picture: Any) -> bool:
    return bool(picture.evaluate("picture => picture.complete && picture.naturalWidth > 0"))


# --- shoots -----------------------------------------------------------------------------------------------------------


def test_one_click_leads_to_a_picture_in_the_gallery(service: Service, visitor: Visitor, idle: None) -> None:
    page = planned(visitor.open(service))
    check_access(page, "plan")
    page.click("#capture")
    expect(page.locator("#stage-picture")).to_have_attribute("src", re.compile(r"/live\?"))  # it grows meanwhile
    expect(page.locator("[data-inset=frame] img")).to_have_attribute("src", re.compile(r"/frames/\d+/thumbnail"))
    expect(page.locator("[data-inset=depth] img")).to_have_attribute("src", re.compile("/live/depth"))
    check_access(page, "shooting")
    page.locator("[data-inset=depth]").click()
    expect(page.locator("#stage-picture")).to_have_attribute("src", re.compile("/live/depth"))
    expect(told(page, "Published")).to_be_visible()
    check_access(page, "published")
    assert sum(page.evaluate("() => window.shifted")) < STEADY
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator("#view-shoot")).to_be_visible()
    assert is_drawn(page.locator("#viewer .layer img"))
    check_access(page, "result")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("slider", name="Frame on the left").press("ArrowRight")
    expect(page.get_by_role("slider", name="Frame on the left")).to_have_attribute("aria-valuenow", "52")
    check_access(page, "compare")
    page.get_by_role("tab", name="Depth").click()
    expect(page.locator("#viewer .layer img")).to_have_attribute("alt", re.compile("depth map"))
    page.get_by_role("tab", name="3D").click()
    expect(page.locator("#viewer .size")).to_have_text(re.compile(r"([\d.]+ \W ){2}[\d.]+ mm"))
    check_access(page, "surface")
    surface = page.locator("canvas.surface")
    before = surface.screenshot()
    surface.press("ArrowRight")  # turns it
    by_key = surface.screenshot()
    surface.drag_to(surface, source_position={"x": 200, "y": 200}, target_position={"x": 260, "y": 220})
    assert len({before, by_key, surface.screenshot()}) == 3
    page.get_by_role("tab", name="Frames").click()
    expect(page.locator("#viewer a")).to_have_count(FRAMES)
    check_access(page, "frames")
    page.get_by_role("tab", name="Depth").click()
    check_access(page, "depth map")
    page.get_by_role("radiogroup", name="How many frames more").get_by_role("radio", name="1", exact=True).click()
    page.get_by_role("button", name="1 more near").click()  # a missed antenna
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator("#version")).to_have_value("2")
    page.get_by_role("tab", name="Frames").click()
    expect(page.locator("#viewer a").first).to_have_text(re.compile(rf"{FRAMES} . 9\.200 mm"))
    page.get_by_role("link", name="Gallery").first.click()
    expect(page.locator("#cards li")).not_to_have_count(0)
    check_access(page, "gallery")


def test_a_pause_outlasts_a_reload_and_an_abort_can_be_undone(service: Service, visitor: Visitor, idle: None) -> None:
    page, other = planned(visitor.open(service)), visitor.open(service, size=PHONE)
    page.click("#capture")
    expect(page.locator("#count-stored")).to_have_text(re.compile("[1-4]"))
    page.click("#pause")
    for one in (page, other):
        expect(one.locator("#pause-word")).to_have_text("Resume")
    check_access(other, "paused")
    page.reload()
    for one in (page, other):
        expect(one.locator("#capture-word")).to_have_text("Paused")
        expect(one.locator("#capture-more")).to_have_text(re.compile(f"[1-5] of {FRAMES}"))
        expect(one.locator("#stage-picture")).to_have_attribute("src", re.compile("/live|/thumbnail"))
        expect(one.locator("#pause-word")).to_have_text("Resume")
    page.click("#pause")
    expect(other.locator("#pause-word")).to_have_text("Pause")
    other.click("#abort")
    expect(other.locator(".toast")).to_contain_text("Aborted")
    check_access(other, "aborted")
    page.get_by_role("button", name="Go on with it").click()
    for one in (page, other):
        expect(told(one, "Published")).to_be_visible()
        expect(one.locator("#count-stored")).to_have_text(str(FRAMES))


def test_an_answer_that_is_lost_keeps_nobody_from_the_next_shoot(
    service: Service, visitor: Visitor, idle: None
) -> None:
    page = planned(visitor.open(service))
    shoots = re.compile("/api/shoots$")

    def lose(route: Any) -> None:
        route.fetch()  # the service has heard it
        route.abort()

    page.route(shoots, lose)
    page.click("#capture")
    expect(told(page, "Published")).to_be_visible()
    page.unroute(shoots)
    (first,) = service.get("/shoots?limit=1")
    expect(page.locator("#capture")).to_have_attribute("aria-disabled", "false")
    page.click("#capture")
    expect(page.locator("#capture-word")).to_have_text(re.compile("Getting ready|Shooting"))
    assert service.wait(lambda told: told["progress"])["progress"]["shoot_id"] != first["shoot_id"]
    late: list[Any] = []

    def hold(route: Any) -> None:
        late.append(route)

    page.route("**/shoot.json", hold)  # whoever has gone on is not called back
    page.evaluate("id => { location.hash = `#/shoots/${id}`; }", first["shoot_id"])
    expect(page.locator("#shoot-name")).not_to_be_empty()
    page.get_by_role("link", name="Rig", exact=True).click()
    with page.expect_response("**/shoot.json"):
        late[0].continue_()
    page.wait_for_timeout(200)
    assert page.url.endswith("#/")
    visitor.forgive("ERR_FAILED")


# --- rail and plan ----------------------------------------------------------------------------------------------------


def test_the_rail_is_moved_by_keys_and_the_plan_follows(service: Service, visitor: Visitor, idle: None) -> None:
    service.post("/rail/home")
    page = planned(visitor.open(service))
    service.post("/rail/goto", json={"position_mm": 9.0})
    expect(page.locator("#position")).to_have_text("9.0000")
    page.keyboard.press("ArrowRight")  # moves the cursor in the field that was filled last, and not the rail
    page.locator("#stage").click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#position")).to_have_text("9.1000")
    page.get_by_role("radio", name="1 mm").click()
    page.get_by_role("button", name="Jog towards home").click()
    expect(page.locator("#position")).to_have_text("8.1000")
    page.click("#set-near")
    expect(page.locator("#p-depth")).to_have_text("5.9 mm")
    page.fill("#f-to", "61")
    expect(page.locator("#plan-error")).to_contain_text("Far lies outside the travel")
    check_access(page, "a plan that cannot be done")
    expect(page.locator("#capture")).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Escape")
    expect(told(page, "The rail stands still")).to_be_visible()


def test_a_recipe_is_kept_for_every_screen(service: Service, visitor: Visitor) -> None:
    page = planned(visitor.open(service))
    page.get_by_role("button", name="Save").first.click()
    page.fill("#save-name", "beetle 5x")
    check_access(page, "saving a recipe")
    page.click("#halt")  # nothing lies over it
    expect(told(page, "The rail stands still")).to_be_visible()
    page.locator("#save-form").get_by_role("button", name="Save").click()
    expect(told(page, "Recipe saved")).to_be_visible()
    other = visitor.open(service, size=PHONE)
    other.select_option("#recipe-list", "beetle 5x")
    expect(other.locator("#p-depth")).to_have_text("4 mm")
    assert other.input_value("#f-amount") == str(FRAMES)


def test_the_live_view_marks_what_is_sharp(service: Service, visitor: Visitor) -> None:
    page = visitor.open(service)
    page.get_by_role("button", name="Live view").click()
    peaking = page.get_by_role("button", name="Peaking")
    expect(peaking).to_have_attribute("aria-pressed", "true")
    peaking.click()
    page.get_by_role("button", name="100 %").click()
    expect(page.locator(".live-view output")).to_have_text("100 %")
    check_access(page, "live view")


# --- getting in, staying in -------------------------------------------------------------------------------------------


def test_whoever_has_no_token_is_told_how_to_get_one(service: Service, visitor: Visitor) -> None:
    page = visitor.open(service, token=False)
    expect(page.get_by_role("heading", name="This rig asks for its token")).to_be_visible()
    check_access(page, "the gate")
    page.fill("#gate-token", "wrong")
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#gate-error")).to_contain_text(re.compile("not this rig.s token"))
    page.fill("#gate-token", service.token())
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#capture")).to_be_visible()
    assert service.token() not in page.url
    visitor.forgive("401")


def test_a_lost_connection_is_told_and_comes_back(tmp_path: Path, visitor: Visitor) -> None:
    with served(tmp_path, **RIG) as first:
        page = planned(visitor.open(first))
    expect(page.locator("#health-word")).to_have_text("Connection lost")
    check_access(page, "connection lost")
    with served(tmp_path, port=first.port, **RIG):
        expect(told(page, "Connected again")).to_be_visible()
        expect(page.locator("#health-word")).to_have_text("Ready")
        page.goto("about:blank")
    visitor.forgive(NOBODY_ANSWERS)


def test_a_network_that_says_nothing_is_noticed(service: Service, visitor: Visitor) -> None:
    page = planned(visitor.open(service))
    unanswered: list[str] = []
    page.route("**/api/**", lambda route: unanswered.append(route.request.url))  # neither answered nor refused
    for _ in range(200):
        if unanswered:  # the page asks for the status all the time: now nothing gets through
            break
        page.wait_for_timeout(50)
    page.keyboard.press("Escape")
    expect(told(page, "may not have reached the rig")).to_contain_text("Use the switch at the rig")
    expect(page.locator("#health-word")).to_have_text("Connection lost")
    page.unroute("**/api/**")
    expect(page.locator("#health-word")).to_have_text("Ready")


def test_a_rail_that_is_lost_is_homed_from_the_message(tmp_path: Path, visitor: Visitor) -> None:
    with served(tmp_path, may_home=False, **RIG) as service:
        page = planned(visitor.open(service))
        page.click("#capture")
        page.get_by_role("button", name="Home the rail").click()
        expect(page.locator("#position")).to_have_text("0.0000")
        page.goto("about:blank")


def test_a_phone_shows_it_all_without_scrolling_sideways(service: Service, visitor: Visitor) -> None:
    page = visitor.open(service, size=PHONE)
    expect(page.locator("#health-word")).to_have_text("Ready")
    for where, always in (("Rig", ("#halt", "#capture", "#pause", "#abort")), ("Gallery", ("#halt",))):
        page.get_by_role("link", name=where, exact=True).click()
        assert page.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE[0]
        for one in always:
            expect(page.locator(one)).to_be_in_viewport(ratio=1)
        check_access(page, f"{where} on a phone")
    page.get_by_role("link", name="Rig", exact=True).click()
    for size in ((844, 390), (1280, 560)):  # on its side; a small laptop's, less all bars of its browser
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for one in ("#halt", "#stage", "#capture", "#pause", "#abort"):
            expect(page.locator(one)).to_be_in_viewport(ratio=1)


def test_the_stop_is_few_keys_away(service: Service, visitor: Visitor) -> None:
    page = visitor.open(service)
    expect(page.locator("#health-word")).to_have_text("Ready")
    for _ in range(5):  # past the skip link, the name and the views
        page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "halt"
    page.keyboard.press("Enter")
    expect(told(page, "The rail stands still")).to_be_visible()
