from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from focusrail.model.outcome import FrameOutcome, Judgement, StackOutcome
from focusrail.worker.report import ReportPictures, decompose, flat, number, profile, render_report

NOON = datetime(2025, 5, 17, 12, 0, tzinfo=timezone.utc)
PICTURE = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
PICTURES = ReportPictures(JPEG, PICTURE, JPEG)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The page as a browser would take it apart; complains where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.images_without_words = 0
        self.ids: list[str] = []
        self.feed(text)
        assert self.open == [], "every tag is closed"
        assert len(self.ids) == len(set(self.ids)), "every id is there once"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.addresses += [named[key] or "" for key in ("src", "href", "xlink:href", "srcset") if key in named]
        self.ids += [str(named["id"])] if "id" in named else []
        self.images_without_words += tag == "img" and not named.get("alt")
        assert not any(key.startswith("on") for key in named), "no script"
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def outcome(frames: int = 24, *, positions: bool = True) -> StackOutcome:
    return StackOutcome(
        shoot_id="20250517-120000-ant",
        name="Ant",
        specimen_id="NHM-1",
        version=1,
        source="bench",
        created_at=NOON,
        size_px=(640, 480),
        bit_depth=16,
        depth_unit="mm" if positions else "frames",
        frames=tuple(
            FrameOutcome(
                index,
                f"IMG_{index}.JPG",
                1.0 + 0.05 * index if positions else None,
                NOON + timedelta(seconds=index),
                used=True,
                matches=100,
                inliers=90,
                residual_px=0.3,
                sharpness=2 + math.sin(index / max(1, frames - 1) * math.pi),
                won=1 / frames,
            )
            for index in range(frames)
        ),
        settings={"fusion": "soft", "registration": {"threshold_px": 2.0}},
        timings_s={"fuse": 1.0, "total": 2.0},
        versions={"focusrail": "0"},
    )


def left_out(stack: StackOutcome, *which: int, reason: str = "too few matches") -> StackOutcome:
    frames = tuple(replace(f, used=False, reason=reason) if f.index in which else f for f in stack.frames)
    return replace(stack, frames=frames)


def test_gains_of_colours_are_shown_where_they_differ() -> None:
    stack = outcome(2)
    frames = tuple(
        replace(frame, gain=1.234, gain_bgr=gain)
        for frame, gain in zip(stack.frames, [(1.234, 1.235, 1.236), (1.111, 1.222, 1.333)], strict=True)
    )
    text = Page(render_report(replace(stack, frames=frames), PICTURES)).text
    assert "1.234 R 1.333 G 1.222 B 1.111" in " ".join(text.split()), "each by its name, apart from grey's"
    assert "1.236" not in text


@pytest.mark.parametrize("frames", [1, 2, 24, 300])
@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("rich", [True, False])
def test_a_stack_of_any_size_makes_a_whole_page(frames: int, positions: bool, rich: bool) -> None:
    stack = outcome(frames, positions=positions)
    if rich:
        judgement = Judgement(34.0, 0.94, 0.2, 0.7, 0.02, 0.13, 0.0021, 0.54)
        recipe: dict[str, object] = {"name": "Ant", "frames": frames, "from_mm": None}
        stack = replace(stack, lateral_um_per_px=3.2, judgement=judgement, recipe=recipe)
        stack = replace(stack, warnings=("Flicker.",), crop=(2, 3, 640, 480))
    page = Page(render_report(stack, PICTURES if rich else ReportPictures(JPEG)))
    assert page.images_without_words == 0
    assert page.tags.count("circle") == frames
    assert page.tags.count("tr") >= frames + 1
    for word in ("1 warning", "PSNR", "0.13 steps", "0.21 %", "Field of view", "Recipe"):
        assert (word in page.text) == rich


def test_nothing_is_fetched_from_anywhere() -> None:
    page = Page(render_report(left_out(outcome(), 3), PICTURES))
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("data:", "./", "#")), address
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    text = render_report(outcome(), PICTURES)
    assert "url(" not in text
    assert "@import" not in text
    assert "://" not in text


def test_whatever_people_and_cameras_write_is_shown_and_never_obeyed() -> None:
    evil = "\"'><script>alert(1)</script><img src=http://x onerror=y>"
    stack = left_out(outcome(), 5, reason=evil)
    frames = tuple(replace(frame, file=evil) for frame in stack.frames)
    stack = replace(
        stack, name=evil, specimen_id=evil, source=evil, shoot_id=evil, warnings=(evil,), frames=frames,
        settings={evil: {evil: evil}}, recipe={evil: evil}, versions={evil: evil}, timings_s={evil: 1.0},
        depth_unit=evil,
    )  # fmt: skip
    text = render_report(stack, PICTURES, files=["result.jpg", evil])
    page = Page(text)
    assert "<script" not in text
    assert "script" not in page.tags
    assert all(address.startswith(("data:", "./", "#")) for address in page.addresses)
    assert "<script>alert(1)</script>" in page.text, "shown as it was written"


def test_a_file_name_that_is_no_utf8_does_not_stop_the_report() -> None:
    stack = outcome(2)
    stack = replace(stack, frames=(replace(stack.frames[0], file="b\udcff.jpg"), stack.frames[1]))
    assert render_report(stack, PICTURES, files=["b\udcff.jpg"]).encode("utf-8")


def test_only_files_that_exist_are_linked() -> None:
    page = Page(render_report(outcome(), PICTURES, files=["result.tif", "ant 1#2.png"]))
    assert sorted({address for address in page.addresses if address.startswith("./")}) == [
        "./ant%201%232.png",
        "./result.tif",
    ]


def test_warnings_come_before_the_result() -> None:
    text = Page(render_report(replace(outcome(), warnings=("The lamp flickers.", "Two.")), PICTURES)).text
    assert "2 warnings" in text
    assert text.index("The lamp flickers.") < text.index("Result")


def test_a_frame_left_out_is_marked_with_its_reason_and_another_shape() -> None:
    page = Page(render_report(left_out(outcome(), 4, 9), PICTURES))
    assert page.text.count("✕ left out: too few matches") == 2
    assert page.tags.count("path") == 2
    assert page.tags.count("circle") == 22
    assert "22 of 24" in page.text


def test_a_transform_that_the_rails_geometry_predicted_is_marked_and_explained() -> None:
    plain = Page(render_report(outcome(), PICTURES)).text
    assert "predicted" not in plain.casefold()
    frames = tuple(replace(f, predicted=f.index == 5) for f in outcome().frames)
    text = Page(render_report(replace(outcome(), frames=frames), PICTURES)).text
    assert text.count("predicted") == 1
    assert "Predicted: too little could be matched" in text


def test_a_thousand_different_reasons_do_not_flood_the_page() -> None:
    stack = outcome(300)
    frames = tuple(replace(f, used=f.index < 2, reason=f"only {f.index} matches") for f in stack.frames)
    text = Page(render_report(replace(stack, frames=frames), PICTURES)).text
    assert text.count("only 299 matches") == 2, "in the plot and in the table"


def test_numbers_that_are_none_are_shown_as_a_dash() -> None:
    frames = tuple(
        replace(f, residual_px=math.nan, gain=math.inf, sharpness=math.nan, won=math.nan, took_s=math.nan)
        for f in outcome(3).frames
    )
    judgement = Judgement(*[math.inf, *[math.nan] * 7])
    text = Page(render_report(replace(outcome(3), frames=frames, judgement=judgement), PICTURES)).text
    assert "nan" not in text.split()
    assert "inf" not in text.split()


def test_a_degenerate_transform_does_not_stop_the_report() -> None:
    for transform in ((0.0,) * 9, (math.nan,) * 9):
        frames = tuple(replace(frame, transform=transform) for frame in outcome(2).frames)
        Page(render_report(replace(outcome(2), frames=frames), PICTURES))


def test_a_picture_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="JPEG, PNG or WebP"):
        render_report(outcome(), ReportPictures(b"GIF89a"))


def test_transforms_are_told_as_shift_rotation_and_scale_about_the_centre() -> None:
    angle, scale, (x, y) = math.radians(0.5), 1.02, (320.0, 240.0)
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    about_centre = (a, -b, x - a * x + b * y + 3, b, a, y - b * x - a * y - 4, 0, 0, 1)
    assert decompose(about_centre, (x, y)) == pytest.approx((3, -4, 500, 2), abs=1e-6)
    twice = tuple(2 * value for value in about_centre)  # a homography is the same at any length
    assert decompose(twice, (x, y)) == pytest.approx((3, -4, 500, 2), abs=1e-6)


def test_the_end_that_the_warning_speaks_of_is_marked_in_the_plot_and_no_other() -> None:
    stack = outcome(10)
    rising = tuple(replace(frame, sharpness=1.0 + frame.index) for frame in stack.frames)
    words = "something is still getting sharper"
    assert words not in render_report(replace(stack, frames=rising), PICTURES), "sharpness alone is no sign of it"
    marked = render_report(replace(stack, unreached=(stack.frames[-1].index,)), PICTURES)
    assert marked.count('class="unreached" x="92%"') == marked.count('class="unreached"') == 1
    assert marked.count(words) == 2, "on the mark, and in the legend"
    backwards = tuple(replace(f, position_mm=-f.index) for f in stack.frames)
    assert profile(backwards, unreached=[backwards[0].index])["unreached"] == ["high"]  # type: ignore[index]


def test_every_point_of_the_plot_lies_within_it() -> None:
    for frames in (outcome(1).frames, outcome(24).frames, outcome(300, positions=False).frames):
        plot = profile(frames)
        assert plot is not None
        points = plot["points"]
        assert all(0 <= point[axis] <= 100 for point in points for axis in "xy")  # type: ignore[attr-defined]
    assert profile([replace(frame, used=False) for frame in outcome(3).frames]) is None


def test_numbers_and_settings_read_like_text() -> None:
    assert [number(-1.5), number(-0.001), number(None)] == ["\u22121.50", "0.00", "\u2013"]
    assert number(2, 1, sign=True) == "+2.0"
    assert flat({"a": {"b_px": 5, "c": {}}, "d_e": True, "f": [1, 0.5], "g": None}) == [
        ("a: b px", "5"), ("a: c", "\u2013"), ("d e", "yes"), ("f", "1, 0.5"), ("g", "\u2013"),
    ]  # fmt: skip
