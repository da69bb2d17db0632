from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from focusrail.desk import Desk
from focusrail.errors import RigBusy, ShootAborted
from focusrail.event_log import EventLog
from focusrail.model.shoot import State
from peers.small_rig import recipe, small_rig


def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture
def several() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def close(desk: Desk) -> None:
    desk.close()
    desk.service.close()


def test_a_halt_before_the_first_step_of_a_shoot_is_not_forgotten(tmp_path: Path, several: ThreadPoolExecutor) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    desk.open()
    busy = threading.Event()
    desk.operator.submit(busy.wait, 10)
    shooting = several.submit(desk.shoot, recipe())
    until(lambda: desk.status().doing)
    desk.halt()
    busy.set()
    with pytest.raises(ShootAborted, match="before anything moved"):
        shooting.result()
    assert desk.service.journal.shoots() == []
    assert desk.shoot(recipe(frames=3)), "and it is for that one only"
    close(desk)


def test_what_is_stopped_while_it_homes_goes_on_at_the_next_start(tmp_path: Path, several: ThreadPoolExecutor) -> None:
    config = small_rig(tmp_path, rail={"max_speed_mm_s": 20})
    desk = Desk(config, EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe(frames=3))
    until(lambda: desk.status().moving)
    close(desk)
    assert desk.service.kept is None
    with pytest.raises(RigBusy, match="ending"):
        desk.shoot(recipe())
    again = Desk(config, EventLog())
    again.open()
    interrupted = again.service.interrupted()
    assert interrupted is not None and interrupted.shoot_id == shoot_id and interrupted.state is State.PREFLIGHT
    again.resume(shoot_id)
    until(lambda: again.service.journal.shoot(shoot_id).state is State.PUBLISHED)
    close(again)


def test_a_pause_while_it_homes_holds_the_first_frame(tmp_path: Path) -> None:
    desk = Desk(small_rig(tmp_path, rail={"max_speed_mm_s": 20}), EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe(frames=3))
    desk.pause(shoot_id)
    until(lambda: (desk.status().progress or desk).state == "paused")  # type: ignore[union-attr]
    assert desk.service.journal.frame_count(shoot_id) == 0
    desk.resume(shoot_id)
    until(lambda: not desk.status().doing)
    assert desk.service.journal.shoot(shoot_id).state is State.PUBLISHED
    close(desk)


def test_a_stack_that_the_end_of_the_service_breaks_off_does_not_look_as_if_it_went_on(
    tmp_path: Path, photographs: Path
) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    shoot_id = desk.stack_folder(photographs)
    close(desk)
    again = Desk(small_rig(tmp_path), EventLog())
    assert again.service.journal.shoot(shoot_id).state is State.ABORTED
    close(again)
