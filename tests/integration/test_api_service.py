"""The service as it runs: one for all tests that leave it as it was, others for those that end or break it."""

from __future__ import annotations

import json
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from focusrail.capture.rig_holder import halt_owner
from focusrail.store.journal import Journal
from peers.running import RECIPE, Served, served
from peers.small_rig import FRAMES

SLOW = {"max_speed_mm_s": 4, "acceleration_mm_s2": 1000}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    button = {"driver": "simulated", "recipe": "none of that name", "options": {"path": "button"}}
    with served(tmp_path_factory.mktemp("service"), button=button) as running:
        yield running


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its carriage takes its time, and so does a frame."""
    with served(tmp_path_factory.mktemp("slow"), rail=SLOW, camera={"exposure_s": 0.1}) as running:
        assert running.local.post("/api/rail/home").status_code == 200
        assert running.local.post("/api/rail/goto", json={"position_mm": 9}).status_code == 200
        yield running


class Viewer:
    """Whoever listens to events, as a browser does."""

    def __init__(self, service: Served, *, after: int | None = None, buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", service.port))
        resume = "" if after is None else f"Last-Event-ID: {after}\r\n"
        token = f"Authorization: Bearer {service.token}\r\n"
        self.socket.sendall(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\n{token}{resume}\r\n".encode())
        self.file = self.socket.makefile("rb")

    def status(self) -> int:
        return int(self.file.readline().split()[1])

    def events(self) -> Iterator[tuple[int, str, Any]]:
        """Number, name and data, until the stream ends."""
        told: dict[str, str] = {}
        for line in self.file:
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name in ("id", "event", "data"):
                told[name] = value
            if name == "data":
                yield int(told["id"]), told["event"], json.loads(told["data"])

    def close(self, *, rudely: bool = False) -> None:
        if rudely:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


# --- access -----------------------------------------------------------------------------------------------------------


def test_the_socket_is_for_owner_and_group_and_needs_no_token(service: Served) -> None:
    assert stat.S_IMODE((service.home.data / "focusrail.sock").stat().st_mode) == 0o660
    assert stat.S_IMODE((service.home.data / "token").stat().st_mode) == 0o600
    assert service.status()["rig"]
    assert service.tcp.get("/api/status").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{service.port}/api/status").status_code == 401


def test_a_connection_that_is_reset_after_its_request_needs_the_token_too(service: Served) -> None:
    body = b'{"yaml": "name: a\\nfrom_mm: 1\\nto_mm: 2\\nframes: 3"}'
    request = (
        b"PUT /api/recipes/stranger HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", service.port)) as rude:
            rude.sendall(request)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert service.local.get("/api/recipes").json() == []


def test_headers_of_a_proxy_change_nothing(service: Served) -> None:
    forged = {"X-Forwarded-For": "", "X-Forwarded-Proto": "https", "Forwarded": "for=unix:", "Host": "localhost"}
    assert httpx.get(f"http://127.0.0.1:{service.port}/api/status", headers=forged).status_code == 401


def test_garbage_and_websockets_are_refused_and_not_worth_a_line(service: Served) -> None:
    before = service.log()
    upgrade = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for garbage in (b"\x00" * 4096 + b"\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", upgrade):
        with socket.create_connection(("127.0.0.1", service.port), timeout=5) as stranger:
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
            assert b" 101 " not in stranger.recv(4096)
    assert service.log() == before


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_go_on_where_a_broken_connection_left_off(service: Served) -> None:
    viewer = Viewer(service)
    assert viewer.status() == 200
    service.until(lambda: b"welcome" in viewer.file.readline())
    shoot_id = service.begin().json()["shoot_id"]
    heard = []
    for number, name, data in viewer.events():
        heard.append((number, name, data))
        if name == "frame_stored" and data["index"] == 3:
            break
    viewer.close()
    service.idle()
    again = Viewer(service, after=heard[-1][0])
    for number, name, data in again.events():
        heard.append((number, name, data))
        if name == "published":
            assert data["shoot_id"] == shoot_id and data["version"] == 1
            break
    again.close()
    numbers = [number for number, _, _ in heard]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "each once, and none is missing"
    assert [data["index"] for _, name, data in heard if name == "frame_stored"] == list(range(FRAMES))
    assert heard[0][1] == "started"


def test_who_comes_from_another_life_is_told_to_look_anew(service: Served) -> None:
    last = service.status()["last_event"]
    for after in (7, last + 1000):
        viewer = Viewer(service, after=after)
        assert next(viewer.events()) == (last, "missed", {})
        viewer.close()
    assert service.local.get("/api/events", headers={"Last-Event-ID": "none"}).status_code == 422


def test_places_of_viewers_are_limited_and_given_back(service: Served) -> None:
    viewers = [Viewer(service) for _ in range(32)]
    assert {viewer.status() for viewer in viewers} == {200}
    one_more = Viewer(service)
    assert one_more.status() == 429
    one_more.close()
    with service.local.stream("GET", "/api/events") as by_the_socket:
        assert by_the_socket.status_code == 200, "has places of its own"
    for viewer in viewers:
        viewer.close(rudely=True)
    for _ in range(100):  # gone before the first byte of the answer
        Viewer(service).close(rudely=True)

    def has_room() -> bool:
        late = [Viewer(service) for _ in range(32)]
        all_in = {viewer.status() for viewer in late} == {200}
        for viewer in late:
            viewer.close()
        return all_in

    service.until(has_room)


# --- idempotency ------------------------------------------------------------------------------------------------------


def test_equal_requests_at_once_begin_one_shoot(service: Served) -> None:
    before = len(service.local.get("/api/shoots").json())
    key = {"Idempotency-Key": "one tap"}
    with ThreadPoolExecutor(8) as several:
        answers = list(several.map(lambda _: service.begin(headers=key), range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["shoot_id"] for answer in answers}) == 1
    service.idle()
    assert len(service.local.get("/api/shoots").json()) == before + 1
    other = service.begin(headers=key, frames=4)
    assert other.status_code == 422 and other.json()["type"] == "/problems/key-reused"


# --- what does not go together ----------------------------------------------------------------------------------------


def test_one_thing_at_a_time(slow: Served) -> None:
    with ThreadPoolExecutor(6) as several:
        answers = list(several.map(lambda _: slow.begin(), range(6)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409, 409]
    (shoot_id,) = (answer.json()["shoot_id"] for answer in answers if answer.status_code == 202)
    ask = slow.local.post
    for path, body in (
        ("/api/rail/home", None),
        ("/api/rail/jog", {"distance_mm": 1}),
        ("/api/camera/shot", None),
        (f"/api/shoots/{shoot_id}/stack", None),
    ):
        refused = ask(path, json=body) if body else ask(path)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/rig-busy"), path
    assert ask("/api/shoots/nope/pause").status_code == 404
    assert ask(f"/api/shoots/{shoot_id}/resume").status_code == 202, "it goes on anyway"
    for _ in range(2):
        assert ask(f"/api/shoots/{shoot_id}/pause").status_code == 204
    slow.until(lambda: slow.status()["progress"]["state"] == "paused")
    assert slow.shoot(shoot_id)["state"] == "paused"
    assert ask(f"/api/shoots/{shoot_id}/pause").status_code == 204
    assert ask(f"/api/shoots/{shoot_id}/resume").status_code == 202
    slow.until(lambda: slow.status()["progress"]["state"] == "shooting")
    assert ask(f"/api/shoots/{shoot_id}/abort").status_code == 204
    slow.idle()
    assert slow.shoot(shoot_id)["state"] == "aborted"
    assert ask(f"/api/shoots/{shoot_id}/abort").status_code == 409, "it is over"
    assert slow.status()["rig"] and not slow.status()["trouble"]


def test_what_is_no_number_moves_nothing(service: Served) -> None:
    before = service.status()["position_mm"]
    for odd in (True, "1", None, [1], 1e999):
        answer = service.local.post("/api/rail/jog", content=json.dumps({"distance_mm": odd}).encode())
        assert answer.status_code == 422, odd
    assert service.status()["position_mm"] == before
    assert service.local.post("/api/rail/jog", json={"distance_mm": 1}).status_code == 200


def test_a_halt_is_for_what_was_asked_for_before_it(slow: Served) -> None:
    """Also where nothing has moved yet, and not for what comes after it."""
    assert slow.local.post("/api/halt").status_code == 204, "while nothing moves"
    with ThreadPoolExecutor(2) as several:
        moving = several.submit(slow.local.post, "/api/rail/goto", json={"position_mm": 40})
        slow.until(lambda: slow.status()["moving"])
        began_s = time.monotonic()
        assert slow.tcp.post("/api/halt").status_code == 204
        answer = moving.result()
        took_s = time.monotonic() - began_s
    assert answer.status_code == 409 and answer.json()["type"] in ("/problems/halted", "/problems/shoot-aborted")
    assert took_s < 1.0
    assert slow.local.post("/api/rail/goto", json={"position_mm": 9}).status_code == 200


def test_whoever_does_not_know_the_socket_halts_the_shoot_and_not_the_service(slow: Served) -> None:
    shoot_id = slow.begin().json()["shoot_id"]
    slow.until(lambda: slow.shoot(shoot_id)["stored"])
    assert halt_owner(slow.home.data / ".rig.lock")
    slow.idle()
    assert slow.is_healthy() and slow.shoot(shoot_id)["state"] == "aborted"


def test_one_tap_extends_a_shoot_once(service: Served) -> None:
    shoot_id = service.begin(frames=4).json()["shoot_id"]
    service.idle()
    path, key = f"/api/shoots/{shoot_id}/extend", {"Idempotency-Key": "a missed antenna"}

    def tap(near: int = 0, far: int = 0) -> httpx.Response:
        return service.local.post(path, json={"near": near, "far": far}, headers=key)

    assert tap().status_code == 422 and service.local.get(f"/api/shoots/{shoot_id}").json()["planned"] == 4
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda _: tap(far=1), range(4)))
    assert {(answer.status_code, answer.json()["shoot_id"]) for answer in answers} == {(202, shoot_id)}
    service.idle()
    told = service.local.get(f"/api/shoots/{shoot_id}").json()
    assert (told["state"], told["planned"], len(told["versions"]), told["unfinished"]) == ("published", 5, 2, False)
    assert tap(far=1).status_code == 202 and tap(far=2).status_code == 422, "it was another wish"
    assert not service.status()["doing"], "and nothing begins"


def test_what_is_published_is_not_resumed_by_mistake(service: Served) -> None:
    shoot_id = service.begin(frames=4).json()["shoot_id"]
    service.idle()
    answer = service.local.post(f"/api/shoots/{shoot_id}/resume")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/illegal-transition")
    again = service.local.post(f"/api/shoots/{shoot_id}/stack")
    assert again.status_code == 202
    assert service.local.post(f"/api/shoots/{shoot_id}/pause").status_code == 409, "a stack makes no frames"
    service.idle()
    assert [one["version"] for one in service.shoot(shoot_id)["versions"]] == [1, 2]
    assert service.local.post(f"/api/shoots/{shoot_id}/abort").status_code == 409


def test_shoots_are_listed_in_pages_without_gaps(service: Served) -> None:
    every = [shoot["shoot_id"] for shoot in service.local.get("/api/shoots").json()]
    assert len(every) >= 2
    paged: list[str] = []
    while True:
        given: dict[str, str] = {"limit": "1", **({"before": paged[-1]} if paged else {})}
        page = service.local.get("/api/shoots", params=given).json()
        if not page:
            break
        paged += [shoot["shoot_id"] for shoot in page]
    assert paged == every
    assert service.local.get("/api/shoots", params={"before": "nope"}).status_code == 404


def test_metrics_tell_what_has_happened(service: Served) -> None:
    def metrics() -> dict[str, float]:
        answer = service.tcp.get("/api/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    before = metrics()
    service.begin()
    service.idle()
    after = metrics()
    grown = {name: after[name] - before[name] for name in after}
    assert grown["focusrail_frames_stored_total"] == grown["focusrail_frames_fused_total"] == FRAMES
    assert grown['focusrail_shoots_total{outcome="published"}'] == 1
    assert grown["focusrail_frame_duration_seconds_count"] == FRAMES - 1
    assert grown["focusrail_events_total"] > 2 * FRAMES
    assert after["focusrail_rig_open"] == after["focusrail_rail_position_known"] == 1
    assert after["focusrail_frames_waiting"] == 0 < after['focusrail_free_bytes{folder="spool"}']
    assert 10e6 < after["process_resident_memory_bytes"] < 400e6


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_shoot_that_has_lost_its_camera_goes_on_when_that_is_back(tmp_path: Path) -> None:
    with served(tmp_path, camera={"connection_lost_at": [3]}) as service:
        shoot_id = service.begin().json()["shoot_id"]
        service.until(lambda: service.logged("shoot.waits"))
        assert "went away at frame 3" in service.log()
        service.until(lambda: service.shoot(shoot_id)["state"] == "published", within_s=30)
        assert service.shoot(shoot_id)["stored"] == FRAMES and not service.status()["trouble"]
        made = [line["frame_index"] for line in service.logged("frame.stored")]
        assert made == list(range(FRAMES)), "each is made once"


def test_a_shoot_that_comes_no_further_waits_for_a_person(tmp_path: Path) -> None:
    with served(tmp_path, camera={"transfer_s": 0.3}) as service:
        shoot_id = service.begin().json()["shoot_id"]
        service.until(lambda: service.shoot(shoot_id)["stored"] == 2)
        service.stop(signal.SIGKILL)
        journal = Journal(service.home.data / "journal.sqlite")
        assert [journal.note_going_on(shoot_id) for _ in range(10)][-1] == 10  # and each ended as this one did
        journal.close()
        service.start()
        service.until(lambda: service.logged("shoot.not_resumed"))
        assert "came no further" in service.logged("shoot.not_resumed")[0]["error"]
        assert service.shoot(shoot_id)["interrupted"] and not service.logged("shoot.resumed")
        assert service.local.post(f"/api/shoots/{shoot_id}/resume").status_code == 202
        service.until(lambda: service.shoot(shoot_id)["state"] == "published")


def test_a_shoot_that_cannot_be_gone_on_with_yet_waits_for_that(tmp_path: Path) -> None:
    """Where the rail must be homed by a person, who also can give it up."""
    with served(tmp_path, may_home=False, camera={"transfer_s": 0.2}) as service:
        for gives_up in (False, True):
            assert service.local.post("/api/rail/home").status_code == 200
            shoot_id = service.begin().json()["shoot_id"]
            service.until(lambda: service.status()["progress"]["stored"] == 2)
            service.stop(signal.SIGKILL)
            service.start()
            service.until(lambda: service.logged("shoot.waits"))
            told = service.shoot(shoot_id)
            assert (told["interrupted"], told["going_on"], told["stored"]) == (True, False, 2)
            if gives_up:
                assert service.local.post(f"/api/shoots/{shoot_id}/abort").status_code == 204
                assert service.shoot(shoot_id)["state"] == "aborted"
            else:
                assert service.local.post("/api/rail/home").status_code == 200
                service.until(lambda: service.logged("shoot.published"), within_s=30)
                assert service.shoot(shoot_id)["state"] == "published"
                (service.home.folder / "log").write_text("")


@pytest.mark.parametrize("when", ["shooting", "moving"])
def test_the_end_comes_at_once_with_thirty_viewers_and_keys_survive_it(tmp_path: Path, when: str) -> None:
    rail = SLOW if when == "moving" else {}
    with served(tmp_path, rail=rail, camera={"exposure_s": 0.2}) as service, ExitStack() as stack:
        key = {"Idempotency-Key": "before the end"}
        if when == "shooting":
            shoot_id = service.begin(headers=key).json()["shoot_id"]
            service.until(lambda: service.status()["progress"]["stored"] >= 1)
        else:
            several = stack.enter_context(ThreadPoolExecutor(1))
            waiting = several.submit(service.local.post, "/api/rail/home")
            service.until(lambda: service.status()["moving"])
        viewers = [Viewer(service) for _ in range(30)]
        assert {viewer.status() for viewer in viewers} == {200}
        strangers = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(20)]
        strangers[0].sendall(b"POST /api/shoots HTTP/1.1\r\n")
        assert service.process is not None
        began_s = time.monotonic()
        service.process.send_signal(signal.SIGHUP if when == "moving" else signal.SIGTERM)
        assert service.process.wait(10) == 0
        assert time.monotonic() - began_s < 5
        for viewer in viewers:
            assert all(isinstance(number, int) for number, _, _ in viewer.events()), "it ends"
            viewer.close()
        for stranger in strangers:
            stranger.close()
        if when == "moving":
            assert waiting.result().status_code == 409
            return
        service.start()
        service.until(lambda: service.shoot(shoot_id)["state"] == "published", within_s=40)
        assert service.begin(headers=key).json()["shoot_id"] == shoot_id
        assert service.begin(headers=key, name="bee").status_code == 422
        assert len(service.local.get("/api/shoots").json()) == 1
        assert RECIPE["name"] == service.shoot(shoot_id)["name"]


def test_a_test_shot_that_the_end_does_not_wait_for_is_told_so(tmp_path: Path) -> None:
    with served(tmp_path, camera={"exposure_s": 5}) as service, ThreadPoolExecutor(1) as several:
        waiting = several.submit(service.tcp.post, "/api/camera/shot")
        service.until(lambda: service.status()["doing"])
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        answer = waiting.result()
        assert (answer.status_code, answer.json()["title"]) == (503, "Ending")
        assert service.process.wait(10) == 0 and not service.logged("request.failed")


def test_whoever_watches_is_told_what_the_button_does(service: Served) -> None:
    viewer = Viewer(service)
    assert viewer.status() == 200
    (service.home.folder / "button").write_text("\n")
    told = next(data for _, name, data in viewer.events() if name == "button_pressed")
    viewer.close()
    assert (told["press"], told["did"], told["shoot_id"]) == ("short", "", None)
    assert "no recipe 'none of that name'" in told["refused"]
    assert [entry["press"] for entry in service.logged("button.refused")] == ["short"]
