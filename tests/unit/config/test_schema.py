from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from focusrail.config import document
from focusrail.config.document import Key
from focusrail.config.keys import key_names, key_type
from focusrail.config.loader import load_config
from focusrail.config.schema import CameraConfig, Config, RailConfig, StoreConfig
from focusrail_drivers import registry
from focusrail_drivers.base import Travel

SHIPPED = Path(__file__).parents[3] / "config/focusrail.yaml"
DIFFERS_FROM_THE_DEFAULTS: frozenset[tuple[str, str]] = (
    frozenset()
)  # keys that the shipped file sets otherwise on purpose


def keys_of(kind: Any, above: Key = ()) -> Iterator[Key]:
    """Every key path of the schema; what is within a driver's options is the driver's."""
    for name in key_names(kind):
        yield (*above, name)
        if name != "options":
            yield from keys_of(key_type(kind, name, {}), (*above, name))


def test_the_schema_has_the_sections_and_the_depth_that_the_other_tests_rely_on() -> None:
    keys = set(keys_of(Config))
    assert {("rail", "travel_mm", "max"), ("stacking", "method", "registration", "refine"), ("log", "level")} <= keys


def test_the_shipped_configuration_is_the_default_one() -> None:
    shipped = load_config(SHIPPED).model_dump()
    default = Config().model_dump()
    for key in DIFFERS_FROM_THE_DEFAULTS:
        shipped[key[0]].pop(key[1])
        default[key[0]].pop(key[1])
    assert shipped == default


def test_the_shipped_configuration_shows_every_key_and_those_that_are_commented_out_can_be_used(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^(\s*)#(?=[a-z_]+:)", r"\1", SHIPPED.read_text(encoding="utf-8"))
    path = tmp_path / "focusrail.yaml"
    path.write_text(text, encoding="utf-8")
    load_config(path)
    assert set(keys_of(Config)) <= set(document.read(path).lines)


def test_a_configuration_made_in_code_is_checked_like_one_from_a_file() -> None:
    config = Config()
    assert type(config.rail.options) is registry.load("rails", "simulated").Options
    assert type(config.camera.options) is registry.load("cameras", "simulated").Options
    with pytest.raises(ValidationError, match=r"there are: .*simulated"):
        RailConfig(driver="steam")
    with pytest.raises(ValidationError, match="backlash_mm"):
        RailConfig(options={"backlash_mm": -1})
    with pytest.raises(ValidationError):
        CameraConfig(um_per_px=0)


@pytest.mark.parametrize("kind", ["rails", "cameras", "accelerators"])
def test_no_driver_takes_an_option_that_it_does_not_know(kind: str) -> None:
    section = kind.removesuffix("s")
    for driver in registry.names(kind):
        with pytest.raises(ValidationError, match=r"not permitted|Unexpected keyword"):
            Config.model_validate({section: {"driver": driver, "options": {"colour": "red"}}})


def test_a_device_may_be_told_by_its_drivers_name_alone() -> None:
    assert Config.model_validate({"accelerator": "kv260-exact"}).accelerator.driver == "kv260-exact"
    with pytest.raises(ValidationError, match=r"there are: cpu"):
        Config.model_validate({"accelerator": "abacus"})


def test_options_that_are_ready_made_are_taken_as_they_are() -> None:
    options = registry.load("rails", "simulated").Options(start_mm=9.0)
    assert RailConfig(options=options).options is options


@pytest.mark.parametrize("section", [Config, RailConfig, CameraConfig, StoreConfig])
def test_no_section_can_be_changed(section: type[BaseModel]) -> None:
    made = section()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(section.model_fields)), None)


def test_the_soft_limits_are_given_as_the_drivers_have_them() -> None:
    assert RailConfig().travel is None
    assert RailConfig.model_validate({"travel_mm": {"min": 2, "max": 58}}).travel == Travel(2.0, 58.0)


def test_the_store_lies_in_one_folder_unless_told_otherwise(tmp_path: Path) -> None:
    store = StoreConfig(root=tmp_path)
    assert (store.spool_folder, store.outbound_folder) == (tmp_path / "spool", tmp_path / "outbound")
    assert store.journal_file == tmp_path / "journal.sqlite"
    assert StoreConfig(root=tmp_path, spool=Path("/fast")).spool_folder == Path("/fast")


def test_every_path_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert StoreConfig().root == Path("/home/somebody/focusrail")
    assert StoreConfig(root=Path("here")).root == tmp_path / "here"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{name}", "must contain {shoot_id}"),
        ("{shoot_id}-{colour}", "knows only {name}, {specimen_id}, {shoot_id}, {date}"),
        ("{shoot_id!r}", "knows only"),
        ("{shoot_id:>99999999}", "knows only"),
        ("{shoot_id.__class__}", "knows only"),
        ("{shoot_id[0]}", "knows only"),
        ("{}-{shoot_id}", "knows only"),
        ("{shoot_id}/{name}", "must not contain /"),
        ("{shoot_id}\\{name}", "must not contain /"),
        ("{shoot_id}\n", "must not contain /"),
        ("{shoot_id}-{shoot_id}", "each field can stand in it only once"),
        ("{shoot_id", "is no template"),
        ("{shoot_id}" + "x" * 41, "must not have more than 40 bytes"),
    ],
)
def test_a_template_that_cannot_name_a_folder_of_its_own_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        StoreConfig(folder_template=template)


CREATED = datetime(2026, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("template", "specimen_id", "folder"),
    [
        ("{specimen_id}-{name}-{shoot_id}", "00123", "00123-beetle-s7"),
        ("{specimen_id}-{name}-{shoot_id}", None, "beetle-s7"),
        ("{shoot_id}_{specimen_id}", None, "s7"),
        ("{date} {shoot_id}", "00123", "2026-04-30 s7"),  # in UTC the day before
        ("{{{name}}} {shoot_id}", None, "{beetle} s7"),
    ],
)
def test_the_template_names_the_folder(template: str, specimen_id: str | None, folder: str) -> None:
    store = StoreConfig(folder_template=template)
    assert store.folder_name(shoot_id="s7", name="beetle", specimen_id=specimen_id, created_at=CREATED) == folder


@pytest.mark.parametrize("name", ["..", ".hidden", "x" * 100, "\N{BEETLE}" * 100, "{shoot_id}"])
def test_no_name_leads_out_of_the_folder_hides_it_or_makes_it_too_long(name: str) -> None:
    folder = StoreConfig(folder_template="{name}-{specimen_id}-{shoot_id}-{date}" + "x" * 36).folder_name(
        shoot_id="20260501-013000-abcdef", name=name, specimen_id=name, created_at=CREATED
    )
    assert "/" not in folder
    assert not folder.startswith(".")
    assert "20260501-013000-abcdef" in folder
    assert len(folder.encode()) <= 255 - 32  # room for what an unfinished one is called
