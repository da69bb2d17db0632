"""What the page is made of, and the small pictures that it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from peers.served import Service, served
from peers.small_rig import FRAMES, photograph

RECIPE = {"name": "beetle", "from_mm": 10.0, "to_mm": 14.0, "frames": FRAMES}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("served")) as service:
        yield service


def stranger(service: Service, path: str) -> httpx.Response:
    """What somebody without a token is answered."""
    return httpx.get(f"http://127.0.0.1:{service.port}{path}")


def test_every_part_of_the_page_is_free_of_the_token_and_nothing_else_is(service: Service) -> None:
    page = stranger(service, "/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    parts = set(re.findall(r'(?:href|src)="(/web/[^"]+)"', page.text))
    assert len(parts) == 4
    for part in parts:
        assert stranger(service, part).status_code == 200, part
    assert stranger(service, "/web/../api/status").status_code == 401
    assert stranger(service, "/web/%2e%2e/app.py").status_code == 404
    assert stranger(service, "/api/status").status_code == 401


def test_the_page_needs_no_exception_from_its_policy(service: Service) -> None:
    page = stranger(service, "/")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?://(?!www\.w3\.org/)", page.text)


def test_small_pictures_come_while_the_shoot_runs_and_stay(service: Service, tmp_path: Path) -> None:
    shoot_id = service.post("/shoots", 202, json={"recipe": RECIPE})["shoot_id"]
    service.wait(lambda told: not told["doing"])
    assert all(frame["thumbnail"] for frame in service.get(f"/shoots/{shoot_id}/frames"))
    answer = service.ask_alone("GET", f"/shoots/{shoot_id}/frames/{FRAMES - 1}/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    (tmp_path / "small.jpg").write_bytes(answer.content)
    assert photograph(tmp_path / "small.jpg").shape == (216, 324, 3)
    assert service.ask_alone("GET", f"/shoots/{shoot_id}/frames/{FRAMES}/thumbnail").status_code == 404
    picture = service.get(f"/shoots/{shoot_id}")["picture"]
    assert service.ask_alone("GET", picture.removeprefix("/api")).headers["content-type"] == "image/jpeg"


def test_a_saved_recipe_is_told_as_it_is_understood(service: Service) -> None:
    text = "name: wing\nfrom_mm: 2\ndepth_mm: 1\nstep_mm: 0.1  # coarse\n"
    service.put("/recipes/wing", 204, json={"yaml": text})
    told = service.get("/recipes/wing")
    assert told["yaml"] == text
    assert (told["recipe"]["from_mm"], told["recipe"]["depth_mm"], told["recipe"]["to_mm"]) == (2.0, 1.0, None)
