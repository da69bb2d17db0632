"""The command line as a client of the running service: it says the same, and ends the same, as in its own process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from focusrail import errors
from focusrail.api.app import make_app
from focusrail.capture.rig_holder import halt_owner, only_owner
from focusrail.client import following, wire
from focusrail.desk import Desk
from focusrail.errors import ServiceLost
from focusrail.event_log import EventLog
from peers.serving_home import serving, start, status, stored, until
from peers.small_rig import Home, Said, published, small_rig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Unix sockets and their permissions")
SERVED: dict[str, Any] = {"service": {"listen": "127.0.0.1:0"}, "rail": {"max_speed_mm_s": 40}}
SLOW: dict[str, Any] = {"frames": 24, "settle_s": 0.1}  # three seconds: time to interfere


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Where a service runs."""
    home = Home(tmp_path_factory.mktemp("served"), **SERVED)
    with serving(home):
        yield home


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Where none does."""
    return Home(tmp_path_factory.mktemp("alone"), **SERVED)


def same(home: Home, said: Said) -> tuple[int, str, list[str]]:
    """What was said, but for folders, IDs and moments, and for the line that names the service."""

    def plain(text: str) -> str:
        text = text.replace(str(home.folder), "HOME")
        text = re.sub(r"\d{8}T\d{6}-[0-9a-f]{4}", "ID", text)
        return re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:[\d.]+Z)?", "MOMENT", text)

    sentences = [plain(sentence) for sentence in said.sentences if not sentence.startswith("by the service at ")]
    return said.code, plain(said.out), sentences


def newest(home: Home) -> str:
    shoot_id: str = json.loads(home.run_here("shoots", "--json").out)[0]["shoot_id"]
    return shoot_id


# --- the same -----------------------------------------------------------------------------------------------------


def test_every_command_says_the_same_by_the_service_as_in_this_process(
    served: Home, alone: Home, photographs: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for photograph in sorted(photographs.iterdir()):
        (mixed / photograph.name).write_bytes(photograph.read_bytes())
    (mixed / "000003.jpg").write_bytes((mixed / "000003.jpg").read_bytes()[:5000])
    (mixed / "notes.txt").write_text("beetle")
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: beetle\nfrom_mm: 10\ndepht_mm: 3\n")

    for home in (served, alone):
        home.recipe(to_mm=70.0).rename(home.folder / "beyond.yaml")
        home.recipe(specimen_id="00123")
    commands: list[list[str]] = [
        ["rail", "home"], ["rail", "goto", "3"], ["rail", "jog", "-1", "--json"], ["rail", "status"],
        ["rail", "status", "--json"], ["rail", "goto", "100"], ["shoot", "HOME/recipe.yaml"], ["shoots"], ["results"],
        ["camera", "shot", "-o", "HOME/shot"], ["camera", "shot", "-o", "HOME/shot"],
        ["recipe", "save", "HOME/recipe.yaml", "--name", "my beetle"], ["recipe", "list", "--json"],
        ["recipe", "show", "my beetle"], ["recipe", "show", "another"],
        ["recipe", "save", "HOME/recipe.yaml", "--name", "../x"], ["recipe", "check", str(bad)],
        ["shoot", "--saved", "my beetle", "--name", "again", "--json"], ["shoot", str(bad)],
        ["shoot", "HOME/beyond.yaml"], ["stack", "--shoot", "NEWEST", "--without", "1,3", "--reference", "middle"],
        ["stack", "--shoot", "NEWEST", "--without", "12"], ["stack", "--shoot", "20200101T000000-0000"],
        ["stack", str(mixed), "-o", "HOME/out", "--step-mm", "0.5", "--method", "lob", "--compat", "--no-crop"],
        ["stack", str(tmp_path / "empty")], ["stack", str(tmp_path / "nowhere")],
        ["resume"], ["resume", "20200101T000000-0000"], ["abort"], ["results", "--most", "2", "--json"],
        ["shoots", "--json"],
    ]  # fmt: skip
    for command in commands:
        said = []
        for home in (served, alone):
            words = [newest(home) if word == "NEWEST" else word.replace("HOME", str(home.folder)) for word in command]
            done = home.run_here(*words)
            asked = home is served and str(bad) not in command  # what is wrong with a file is found before
            assert (f"by the service at {home.data / 'focusrail.sock'}" in done.sentences) == asked, command
            said.append(same(home, done))
        assert said[0] == said[1], command
    assert len(published(served.outbound)) == len(published(alone.outbound)) == 3
    assert (served.folder / "shot.jpg").stat().st_size > 1000


def test_json_has_the_keys_that_are_documented(served: Home) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in (["status"], ["results"], ["shoots"], ["rail", "status"], ["doctor"]):
        told = json.loads(served.run_here(*command, "--json").out)
        for key in told[0] if isinstance(told, list) else told:
            assert f'"{key}"' in documented, (command, key)


def test_every_exit_code_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    table = documented[documented.index("| exit code |") :]
    codes = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")}
    assert {code for code, _ in errors._OUTCOMES.values()} | {errors.UNEXPECTED} <= codes


# --- seen, paused, ended ------------------------------------------------------------------------------------------


def test_a_shoot_is_watched_paused_and_gone_on_with_from_other_terminals(served: Home) -> None:
    shooting = served.start("shoot", served.recipe(**SLOW))
    until(lambda: stored(served) > 1, what="the first frames")
    assert served.run_here("pause").code == 0
    until(lambda: status(served)["progress"]["state"] == "paused", what="the pause")
    assert "paused beetle" in served.run_here("status").out
    assert served.run_here("shoot", served.recipe()).code == 31
    watching = served.start("watch", "--json")
    assert served.run_here("resume").out.startswith("goes on    ")
    assert served.run_here("resume").code == 25  # it does already
    told, _ = watching.communicate(timeout=60)
    out, _ = shooting.communicate(timeout=60)
    assert (watching.returncode, shooting.returncode) == (0, 0)
    events = [json.loads(line) for line in told.splitlines()]
    assert all(set(event) == {"id", "event", "data"} for event in events)
    assert events[-1]["event"] == "published"
    assert str(events[-1]["data"]["folder"]).encode() in out


@pytest.mark.parametrize("how", ["ctrl-c", "abort"])
def test_ctrl_c_aborts_the_shoot_there_as_it_does_here(served: Home, how: str) -> None:
    shooting = served.start("shoot", served.recipe(**SLOW))
    until(lambda: stored(served) > 2, what="the first frames")
    if how == "ctrl-c":
        shooting.send_signal(signal.SIGINT)
    else:
        assert served.run_here("abort").code == 0
    _, error = shooting.communicate(timeout=60)
    shoot_id = newest(served)
    assert shooting.returncode == 130
    assert f"shoot {shoot_id} was aborted; " in error.decode()
    resume = f"`focusrail --config {served.config} --data {served.data} resume {shoot_id}` shoots the rest"
    assert resume in error.decode()
    assert json.loads(served.run_here("shoots", "--json").out)[0]["state"] == "aborted"
    assert status(served)["doing"] == ""


def test_a_move_is_halted_by_ctrl_c(served: Home) -> None:
    assert served.run_here("rail", "home").code == 0
    moving = served.start("rail", "goto", "59")
    until(lambda: status(served)["moving"], what="the move")
    moving.send_signal(signal.SIGINT)
    _, error = moving.communicate(timeout=20)
    assert (moving.returncode, "halted" in error.decode()) == (130, True), error
    at_mm = status(served)["position_mm"]
    assert at_mm is None or at_mm < 55


def test_a_folder_that_the_service_cannot_read_is_told_from_one_that_is_not_there(
    served: Home, photographs: Path, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    for photograph in photographs.iterdir():
        (private / photograph.name).write_bytes(photograph.read_bytes())
    private.chmod(0)
    try:
        said = served.run_here("stack", private)
    finally:
        private.chmod(0o700)
    assert said.code == 15
    assert "its user must be able to read it" in said.sentences[-1]
    assert "--data FOLDER" in said.sentences[-1]


# --- a service that is in trouble ---------------------------------------------------------------------------------


def test_a_service_that_is_killed_is_said_and_a_watcher_sees_its_shoot_go_on(tmp_path: Path) -> None:
    home = Home(tmp_path, **SERVED)
    process = start(home)
    try:
        shooting = home.start("shoot", home.recipe(**{**SLOW, "frames": 14}))
        until(lambda: stored(home) > 2, what="the first frames")
        assert home.run_here("pause").code == 0
        watching = home.start("watch", "--json")
        assert watching.stderr is not None and watching.stdout is not None
        assert watching.stderr.readline().startswith(b"by the service at ")
        assert home.run_here("resume").code == 0
        assert watching.stdout.readline()  # now it watches
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, error = shooting.communicate(timeout=20)
        assert shooting.returncode == 33
        shoot_id = newest(home)
        assert f"what is stored of {shoot_id} is safe" in error.decode()
        assert f"focusrail resume {shoot_id}" in error.decode()
        assert json.loads(home.run_here("shoots", "--json").out)[0]["state"] == "interrupted"

        process = start(home)
        out, error = watching.communicate(timeout=60)
        assert watching.returncode == 0, error
        assert json.loads(out.splitlines()[-1])["data"]["finished"]["frames_used"] == 14
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


class Gone:
    """A connection behind which nobody is."""

    socket = Path("gone.sock")

    def events(self, after: int) -> Iterator[Any]:
        raise ServiceLost("lost")

    get = events


def test_a_watcher_gives_up_when_nobody_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.0)
    gone: Any = Gone()
    watched = following.Following(gone, "X", 0, listen=lambda _: None, hears=lambda *_: None)
    with pytest.raises(ServiceLost, match="has not been gone on with"):
        watched.on_and_on(lambda _: None)


def test_a_socket_that_hangs_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 0.2)
    home.data.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.data / "focusrail.sock"))
        listening.listen()
        said = home.run_here("shoots")
        assert (said.code, "does not answer within 0.2 s" in said.sentences[-1]) == (33, True)
        found = json.loads(home.run_here("doctor", "--json").out)
        assert (found[0]["area"], found[0]["state"]) == ("service", "wrong")


def test_a_socket_that_others_own_is_said_and_not_passed_over(home: Home) -> None:
    home.data.mkdir()
    path = home.data / "focusrail.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        said = home.run("shoot", humbly=True)
    assert said.code == 34
    assert "may not be used by you: join the group" in said.sentences[-1]
    assert not home.outbound.exists()


def test_a_socket_that_a_killed_service_left_is_passed_over(home: Home) -> None:
    home.data.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home.data / "focusrail.sock"))
    said = home.run_here("shoots")
    assert (said.code, said.sentences) == (0, [])
    for command in ("watch", "pause"):
        assert home.run_here(command).code == 34
    assert "none answers" in home.run_here("status").out


# --- and what the network may not ---------------------------------------------------------------------------------


def test_folders_of_the_machine_are_only_for_those_who_are_on_it(tmp_path: Path) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    app = make_app(desk, token="secret", hosts={"rig"})

    async def asked(path: str, wish: dict[str, str] | None) -> int:
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
        letter = {"Authorization": "Bearer secret"}
        async with httpx.AsyncClient(transport=transport, base_url="http://rig:8260", headers=letter) as client:
            return (await client.post(path, json=wish)).status_code

    unknown = "/api/shoots/20200101T000000-0000/stack"
    try:
        assert asyncio.run(asked("/api/stacks", {"folder": "/tmp"})) == 403
        assert asyncio.run(asked(unknown, {"out": "/tmp/x"})) == 403
        assert asyncio.run(asked(unknown, {"without": "1"})) == 404
    finally:
        desk.close()
        desk.service.close()


def test_a_configuration_that_was_spoilt_meanwhile_does_not_keep_anybody_from_halting(
    served: Home, tmp_path: Path
) -> None:
    good = served.config.read_text()
    try:
        for spoilt in ("rial: {}\n" + good, good + "store: [\n", good.replace("listen", "lisent")):
            served.config.write_text(spoilt)
            said = served.run("rail", "halt")
            assert (said.code, said.out) == (0, "halted     the rail, and what the service was doing with it\n"), spoilt
            assert any(str(served.config) in sentence for sentence in said.sentences)
            assert served.run("rail", "home").code == 78
    finally:
        served.config.write_text(good)
    nobody = Home(tmp_path)
    nobody.config.write_text("rial: {}\n")
    assert nobody.run("rail", "halt").code == 78


def test_halting_does_not_end_the_service_itself(tmp_path: Path) -> None:
    lock = tmp_path / ".rig.lock"
    with only_owner(lock):
        assert not halt_owner(lock)  # no SIGINT has come


# --- doctor -------------------------------------------------------------------------------------------------------


def test_the_doctor_names_what_is_wrong_first_and_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path, **SERVED)
    home.config.write_text(
        "rail: {driver: grbl, options: {port: /dev/ttyNOWHERE, travel_max_mm: 60}}\n"
        "camera: {driver: opencv, options: {source: /dev/videoNOWHERE}}\n"
        "service: {listen: '127.0.0.1:0'}\n"
    )
    home.data.mkdir()
    (home.data / "token").write_text("secret\n")
    (home.data / "token").chmod(0o644)
    (home.data / "outbound").mkdir(mode=0o500)
    said = home.run("doctor", "--json", humbly=True)
    assert said.code == 35
    found = json.loads(said.out)
    wrong = [one for one in found if one["state"] == "wrong"]
    assert [one["area"] for one in wrong] == ["rail", "camera", "storage", "token"]
    assert all(one["do"] for one in wrong)
    assert found[: len(wrong)] == wrong
    assert said.sentences[-1] == "focusrail: 4 things are wrong, see above"
    os.chmod(home.data / "outbound", stat.S_IRWXU)  # noqa: PTH101


def test_the_doctor_goes_on_where_the_configuration_is_wrong(home: Home) -> None:
    home.config.write_text("rial: {}\n")
    said = home.run_here("doctor")
    assert said.code == 35
    assert said.out.startswith(f"wrong      configuration: {home.config}:1: rial: ")
    assert "installation: " in said.out


def test_a_sound_rig_is_sound(served: Home, alone: Home) -> None:
    for home in (served, alone):
        said = home.run_here("doctor")
        assert (said.code, "wrong" in said.out) == (0, False), said.out


def test_shells_complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from focusrail.cli import cli

    monkeypatch.setenv("_FOCUSRAIL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "focusrail res")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        cli.main([], prog_name="focusrail", standalone_mode=False)
    assert sorted(capsys.readouterr().out.split()) == ["plain,results", "plain,resume"]
