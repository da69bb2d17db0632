from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.config import document
from focusrail.config.loader import default_config_path, dump, load_config, load_recipe
from focusrail.config.schema import Config
from focusrail.errors import ConfigError, exit_code
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail_drivers import registry

REPOSITORY = Path(__file__).parents[3]

BAD_CONFIGURATIONS = {
    "unknown key with a neighbour": (
        "rail:\n  driver: simulated\n\n  setle_s: 3\n",
        ["4: rail.setle_s: extra inputs are not permitted (did you mean settle_s?)"],
    ),
    "unknown key without a neighbour": ("colour: red\n", ["1: colour: extra inputs are not permitted"]),
    "unknown key without a value": (
        "rail:\n  setle_s:\n",
        ["2: rail.setle_s: extra inputs are not permitted (did you mean settle_s?)"],
    ),
    "several at once, in the order of the lines": (
        "log: {level: loud}\nrail:\n  settle_s: soon\n  backlash_mm: -1\n",
        [
            "1: log.level: must be 'debug', 'info', 'warning' or 'error', not loud",
            "3: rail.settle_s: must be a number, not soon",
            "4: rail.backlash_mm: must be greater than or equal to 0, not -1",
        ],
    ),
    "duplicate key": (
        "rail:\n  settle_s: 1\n  home: never\n  settle_s: 2\n",
        ["4: rail.settle_s: given twice, first on line 2"],
    ),
    "unknown driver": (
        "camera:\n  driver: brownie\n",
        [
            "2: camera.driver: no camera driver 'brownie'; there are: " + ", ".join(registry.names("cameras")),
        ],
    ),
    "unknown option of a driver": (
        "rail:\n  options:\n    backlash: 0.1\n",
        [
            (
                "3: rail.options.backlash: extra inputs are not permitted by the driver simulated "
                "(did you mean backlash_mm?)"
            )
        ],
    ),
    "option of another driver than the usual one": (
        "accelerator: {options: {shift: 3}}\n",
        ["1: accelerator.options.shift: extra inputs are not permitted by the driver cpu"],
    ),
    "option of another driver than the named one": (
        "camera: {driver: gphoto2, options: {bit_depth: 8}}\n",
        ["1: camera.options.bit_depth: extra inputs are not permitted by the driver gphoto2"],
    ),
    "options of the KV260 that cannot be": (
        "accelerator: {driver: kv260, options: {tile_height_px: 0}}\n",
        ["1: accelerator.options: a tile is 24 to 8191 pixels high, not 0"],
    ),
    "wrong type of an option": (
        "rail:\n  options:\n    backlash_mm: much\n",
        ["3: rail.options.backlash_mm: must be a number, not much"],
    ),
    "an option that its driver refuses": (
        "rail:\n  options:\n    min_mm: 3\n    max_mm: 2\n",
        ["4: rail.options.max_mm: 2.0 is not beyond min_mm 3.0"],
    ),
    "a default that its driver refuses, on the line of the section": (
        "rail:\n  options:\n    max_mm: 4\n",
        ["2: rail.options.start_mm: 8.0 lies outside 0.0 to 4.0 mm"],
    ),
    "the model's own checks": (
        "stacking:\n  method:\n    registration:\n      detector: surf\n",
        ["4: stacking.method.registration.detector: must be one of dense, sift, orb, not 'surf'"],
    ),
    "unknown key of the model": (
        "stacking:\n  method:\n    fusio: lob\n",
        ["3: stacking.method.fusio: extra inputs are not permitted (did you mean fusion?)"],
    ),
    "empty travel": (
        "rail:\n  travel_mm:\n    min: 5\n    max: 5\n",
        ["4: rail.travel_mm.max: must be above min (5 mm), not 5"],
    ),
    "half a travel": ("rail:\n  travel_mm: {min: 5}\n", ["2: rail.travel_mm.max: is required"]),
    "not a number": ("rail:\n  settle_s: nan\n", ["2: rail.settle_s: must be a finite number, not nan"]),
    "YAML's not a number": ("rail: {settle_s: .nan}\n", ["1: rail.settle_s: must be a number, not .nan"]),
    "NaN in the model": (
        "stacking: {method: {registration: {work_mpx: nan}}}\n",
        ["1: stacking.method.registration.work_mpx: must be a finite number, not nan"],
    ),
    "NaN in an option": (
        "rail:\n  options: {home_repeatability_mm: 0.1, start_mm: 8, vibration_hz: inf}\n",
        ["2: rail.options.vibration_hz: inf is not positive"],
    ),
    "a key without a value": ("log:\n  level:\n", ["2: log.level: has no value; give it one, or remove the key"]),
    "a list for a section": ("rail: [1, 2]\n", ["1: rail: must be a section with keys and values, not a list"]),
    "a section for a value": ("rail: {driver: {a: 1}}\n", ["1: rail.driver: must be text, not a section"]),
    "a number for everything": ("3\n", ["1: must be a section with keys and values, not 3"]),
    "not a whole number": ("stacking:\n  threads: 1.5\n", ["2: stacking.threads: must be a whole number, not 1.5"]),
    "not a switch": (
        "stacking: {method: {crop: perhaps}}\n",
        ["1: stacking.method.crop: must be true or false, not perhaps"],
    ),
    "unfinished YAML": ("rail: {driver: simulated\nlog:\n", ["2: expected ',' or '}', but got ':'"]),
    "a tab": ("rail:\n\tdriver: simulated\n", ["2: found character '\\t' that cannot start any token"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["2: but found another document"]),
    "a NUL": ("rail:\n  driver: \0\n", ["2: special characters are not allowed"]),
    "an alias": ("rail: &x {}\ncamera: *x\n", ["2: aliases (*name) are not supported"]),
    "a Python object": (
        "rail: !!python/object/apply:os.system [true]\n",
        ["1: rail: the tag !!python/object/apply:os.system is not supported"],
    ),
    "a list as key": ("? [a]\n: b\n", ["1: a key must be a single word"]),
    "too deep": ("a: " + "[" * 30, [f"1: nested deeper than {document.DEEPEST} levels"]),
    "an impossible escape": ('a: "\\UFFFFFFFF"\n', ["1: not YAML: "]),
    "an option of the camera that is refused": (
        "camera:\n  options:\n    seed: 2\n    jpeg_quality: 0\n",
        ["4: camera.options.jpeg_quality: 0 is not between 1 and 100"],
    ),
    "a path without a user": (
        "store:\n  root: ~nobody-of-this-name/x\n",
        ["2: store.root: the home folder in ~nobody-of-this-name/x is not known; write the path without ~"],
    ),
}

BAD_RECIPES = {
    "empty": ("", ["1: name: is required", "1: from_mm: is required"]),
    "neighbour": (
        "name: a\nfrom: 1\nto_mm: 2\nframes: 3\n",
        ["1: from_mm: is required", "2: from: extra inputs are not permitted (did you mean from_mm?)"],
    ),
    "both ends": (
        "name: a\nfrom_mm: 1\nto_mm: 2\ndepth_mm: 1\nframes: 3\n",
        ["3: to_mm: give either to_mm or depth_mm"],
    ),
    "no end": ("name: a\nfrom_mm: 1\nframes: 3\n", ["1: to_mm: give either to_mm or depth_mm"]),
    "no depth": (
        "name: a\nfrom_mm: 1\ndepth_mm: 0\nframes: 3\n",
        ["3: depth_mm: the depth of the stack must not be 0"],
    ),
    "a name that is a path": (
        "name: ../a\nfrom_mm: 1\nto_mm: 2\nframes: 3\n",
        ["1: name: must be 1 to 100 characters without / or \\ or control characters"],
    ),
    "NaN": ("name: a\nfrom_mm: 1\nto_mm: 2\nstep_mm: NaN\n", ["4: step_mm: must be a finite number, not nan"]),
    "a method that is not there": (
        "name: a\nfrom_mm: 1\nto_mm: 2\nframes: 3\nmethod:\n  fusion: magic\n",
        ["6: method.fusion: must be one of bands, soft, lob, pyramid, depthmap, not 'magic'"],
    ),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the text where the caller stands, so that messages name the file as the user would."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("focusrail.yaml").write_text(text, encoding="utf-8")
        return Path("focusrail.yaml")

    return write


CHECKOUT = Path(__file__).resolve().parents[3]


def refusal(load: Callable[[Path], object], path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert exit_code(caught.value) == 78
    return str(caught.value).splitlines()


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_whatever_is_wrong_in_a_configuration_is_reported_with_its_line_and_key(
    case: str, write: Callable[[str], Path]
) -> None:
    text, expected = BAD_CONFIGURATIONS[case]
    lines = refusal(load_config, write(text))
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(f"focusrail.yaml:{start}") if start.endswith(" ") else line == f"focusrail.yaml:{start}"


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_whatever_is_wrong_in_a_recipe_is_reported_with_its_line_and_key(
    case: str, write: Callable[[str], Path]
) -> None:
    text, expected = BAD_RECIPES[case]
    assert refusal(load_recipe, write(text)) == [f"focusrail.yaml:{line}" for line in expected]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "rail:\ncamera:\nstore:\nstacking:\n  method:\nlog:\n"])
def test_a_file_without_values_is_the_default_configuration(text: str, write: Callable[[str], Path]) -> None:
    assert load_config(write(text)) == Config()


def test_text_is_kept_as_it_is_written(write: Callable[[str], Path]) -> None:
    settings_text = "{f-number: 8, iso: 0100, shutterspeed: 1/60, ev: 0.10, focus: off, date: 2026-01-02, hex: 0x10}"
    config = load_config(write(f"camera:\n  settings: {settings_text}\n"))
    assert config.camera.settings == {
        "f-number": "8",
        "iso": "0100",
        "shutterspeed": "1/60",
        "ev": "0.10",
        "focus": "off",
        "date": "2026-01-02",
        "hex": "0x10",
    }


def test_a_specimen_id_keeps_its_zeros_and_an_unquoted_word_of_yaml_stays_a_word(write: Callable[[str], Path]) -> None:
    recipe = load_recipe(write("name: yes\nspecimen_id: 00123\nfrom_mm: 010\nto_mm: 1_2\nframes: 08\n"))
    assert (recipe.name, recipe.specimen_id) == ("yes", "00123")
    assert (recipe.from_mm, recipe.to_mm, recipe.frames) == (10.0, 12.0, 8)  # decimal, not octal as in YAML 1.1


@pytest.mark.parametrize(("word", "meaning"), [("yes", True), ("on", True), ("no", False), ("off", False)])
def test_the_usual_words_work_for_a_switch(word: str, meaning: bool, write: Callable[[str], Path]) -> None:
    assert load_config(write(f"stacking: {{method: {{crop: {word}}}}}")).stacking.method.crop is meaning


def test_the_rigs_method_holds_for_a_recipe_that_names_none(write: Callable[[str], Path]) -> None:
    rig = Method(fusion="lob")
    text = "name: a\nfrom_mm: 1\nto_mm: 2\nframes: 3\n"
    assert load_recipe(write(text), method=rig).method == rig
    assert load_recipe(write(text + "method: {crop: no}\n"), method=rig).method == Method(crop=False)


def test_the_rigs_outputs_hold_for_a_recipe_that_names_none(write: Callable[[str], Path]) -> None:
    rig = Outputs(mesh=True)
    text = "name: a\nfrom_mm: 1\nto_mm: 2\nframes: 3\n"
    assert load_recipe(write(text)).outputs == Outputs()
    assert load_recipe(write(text), outputs=rig).outputs == rig
    assert load_recipe(write(text + "outputs: {mesh: no}\n"), outputs=rig).outputs == Outputs()
    assert load_config(write("outputs: {mesh: yes}\nrail: {far_is: low}\n")).outputs == rig


def test_relative_paths_are_seen_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    folder.joinpath("rig.yaml").write_text("store: {root: data, spool: /fast, outbound: ../out}\n")
    monkeypatch.chdir(tmp_path)
    store = load_config(Path("etc/rig.yaml")).store
    assert store.root == folder / "data"
    assert store.spool_folder == Path("/fast")
    assert store.outbound_folder.resolve() == tmp_path / "out"
    assert store.journal_file == folder / "data" / "journal.sqlite"


def test_a_choice_among_numbers_can_be_made(write: Callable[[str], Path]) -> None:
    options = load_config(write("camera: {options: {file_format: png, bit_depth: 16}}\n")).camera.options
    assert options.bit_depth == 16
    assert refusal(load_config, write("camera:\n options:\n  bit_depth: 9\n")) == [
        "focusrail.yaml:3: camera.options.bit_depth: must be 8 or 16, not 9"
    ]


@dataclass(frozen=True)
class FolderOptions:
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    folder: Path
    spare: Path = Path("left/alone")
    deadline_s: float = float("inf")


class FolderDriver:
    Options = FolderOptions


def test_a_path_among_a_drivers_options_is_seen_from_the_files_folder_too(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.load

    def load(kind: str, name: str) -> Any:
        return FolderDriver if name == "folder" else real(kind, name)

    monkeypatch.setattr(registry, "load", load)
    options = load_config(write("camera: {driver: folder, options: {folder: photos}}\n")).camera.options
    assert options == FolderOptions(tmp_path / "photos")
    assert refusal(load_config, write("camera: {driver: folder}\n")) == [
        "focusrail.yaml:1: camera.options.folder: is required"
    ]
    assert refusal(load_config, write("camera: {driver: folder, options: {folder: a, deadline_s: inf}}\n")) == [
        "focusrail.yaml:1: camera.options.deadline_s: must be a finite number, not inf"
    ]


def test_a_missing_file_a_folder_and_a_huge_file_are_refused_in_a_sentence(tmp_path: Path) -> None:
    missing, huge, latin = tmp_path / "missing.yaml", tmp_path / "huge.yaml", tmp_path / "latin.yaml"
    huge.write_bytes(b"#" * (document.LARGEST_BYTES + 1))
    latin.write_bytes(b"a: b\nname: K\xe4fer\n")
    assert refusal(load_config, missing) == [f"{missing}: there is no such file"]
    assert refusal(load_config, tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert refusal(load_config, huge) == [f"{huge}: larger than 1 MiB; this is no configuration file"]
    assert refusal(load_config, latin) == [f"{latin}:2: not UTF-8 text (byte 0xe4)"]
    assert refusal(load_config, Path("a\0b")) == ["a\\x00b: cannot be read: embedded null byte"]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbflog: {level: debug}\r\n")
    assert load_config(path).log.level == "debug"


def test_what_dump_writes_loads_to_the_same(write: Callable[[str], Path]) -> None:
    text = (
        "rail: {travel_mm: {min: 1e-7, max: 58}, approach: backward, options: {start_mm: 9}}\n"
        "camera: {settings: {iso: 0100, focus: off, empty: ''}, um_per_px: 0.752}\n"
        "store: {root: /data, spool: ./s}\n"
        "stacking: {threads: 2, memory_limit_mb: 4096, method: {registration: {chain: off}}}\n"
    )
    config = load_config(write(text))
    assert load_config(write(dump(config))) == config


def test_the_environment_names_the_configuration_even_when_the_file_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOCUSRAIL_CONFIG", str(tmp_path / "missing.yaml"))
    assert default_config_path() == tmp_path / "missing.yaml"


@pytest.mark.skipif(Path("/etc/focusrail/focusrail.yaml").exists(), reason="this machine has a rig of its own")
def test_the_users_configuration_goes_before_the_installed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user = tmp_path / "home/.config/focusrail/focusrail.yaml"
    installed = tmp_path / "prefix/share/focusrail/config/focusrail.yaml"
    monkeypatch.delenv("FOCUSRAIL_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    assert default_config_path() == CHECKOUT / "config/focusrail.yaml"
    monkeypatch.setattr("focusrail.config.loader.__file__", str(tmp_path / "a/b/c/loader.py"))  # installed from a wheel
    assert default_config_path() is None
    for path in (installed, user):
        path.parent.mkdir(parents=True)
        path.touch()
        assert default_config_path() == path


def only_config_error(load: Callable[[Path], object], path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load(path)
    except ConfigError as error:
        text = str(error)
        assert all(line.startswith(f"{path}:") for line in text.split("\n"))
        assert text.replace("\n", "").isprintable()


CONFIG_KEYS = ["rail", "camera", "store", "stacking", "log", "driver", "options", "settings", "travel_mm", "min"]
RECIPE_KEYS = ["name", "from_mm", "to_mm", "frames", "specimen_id", "method", "registration", "camera_settings"]
KEYS = st.sampled_from([*CONFIG_KEYS, *RECIPE_KEYS, "root", "folder_template", "level", "backlash_mm"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=4)
    | st.dates()
    | st.sampled_from(["simulated", "grbl", "~x/y", "{shoot_id}", "{shoot_id!r:>{name}}", "nan", "1e999", "0x1F"])
)
TREES = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYS | st.text(max_size=6), children, max_size=5),
    max_leaves=12,
)
WORDS = ["a", "rail:", "\n  ", "- ", ": ", "!!int ", "!!python/none ", "<<: ", "&a ", "*a", "---\n", "...\n"]
ODDITIES = ["%YAML 1.1\n", "%TAG ! tag:x,2000:\n", "\\ud800", '"\\xZZ"', "\u2028"]
YAML_PIECES = st.lists(
    st.sampled_from([*"{}[]:,-?!&*|>%@`'\"#~ \t\n\\", *WORDS, *ODDITIES]) | st.text(max_size=3),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("load", [load_config, load_recipe])
@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=80) | YAML_PIECES.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_but_a_configuration_error(
    load: Callable[[Path], object], content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    only_config_error(load, tmp_path_factory.getbasetemp() / f"fuzz-{os.getpid()}.yaml", content)


@pytest.mark.parametrize("load", [load_config, load_recipe])
@settings(max_examples=150, deadline=None)
@given(tree=st.dictionaries(KEYS, TREES, max_size=5))
def test_no_yaml_raises_anything_but_a_configuration_error(
    load: Callable[[Path], object], tree: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = yaml.dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    only_config_error(load, tmp_path_factory.getbasetemp() / f"fuzz-{os.getpid()}.yaml", content)


@pytest.mark.parametrize("recipe", sorted(REPOSITORY.glob("config/recipes/*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_that_we_ship_load(recipe: Path) -> None:
    assert load_recipe(recipe).name


def test_what_is_published_is_not_stacked_again(tmp_path: Path) -> None:
    path = tmp_path / "focusrail.yaml"
    (tmp_path / "link").symlink_to("outbound")
    for inbound, fits in (
        ("inbound", True),
        ("outbound", False),
        ("outbound/in", False),
        ("spool", False),
        (".", False),
        ("link", False),
        ("inbound/../outbound", False),
    ):
        path.write_text(f"store: {{root: {tmp_path}}}\nservice: {{inbound: {{folder: {tmp_path / inbound}}}}}\n")
        if fits:
            assert load_config(path).service.inbound.folder == tmp_path / inbound
        else:
            with pytest.raises(ConfigError, match=r"service\.inbound\.folder.* lie in each other"):
                load_config(path)
