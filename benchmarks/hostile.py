"""How much slower a shoot is, and how much larger the service gets, while 50 hostile clients are at it on loopback.

    python -m benchmarks.hostile

Calm and besieged shoots take turns, so that what else the machine does is on both. The attackers are nice to the
processor, since they stand for other machines; what they make the service do is not.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from peers.running import Served, served

CAMERA = {"exposure_s": 0.1, "transfer_s": 0.1}  # a frame takes a fifth of a second or more
FRAMES = 24
CLIENTS = {"slow headers": 10, "slow bodies": 8, "flood": 12, "garbage": 10, "slow viewer": 5, "slow download": 5}


async def _slowly(port: int, first: bytes, piece: bytes, counts: Counter[str], kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        while not reader.at_eof():
            writer.write(piece)
            await writer.drain()
            counts[kind] += 1
            await asyncio.sleep(0.2)
    finally:
        writer.close()


async def _flood(port: int, request: bytes, counts: Counter[str], kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            counts[kind] += 1
    finally:
        writer.close()


async def _garbage(port: int, counts: Counter[str], kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(os.urandom(2000) + b"\r\n\r\n")
        await reader.read(100)
        counts[kind] += 1
    finally:
        writer.close()


async def _never_reads(port: int, request: bytes, counts: Counter[str], kind: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    try:
        writer.write(request)
        counts[kind] += 1
        await asyncio.sleep(60)
    finally:
        writer.close()


async def _besiege(port: int, token: str, picture: str, counts: Counter[str]) -> None:
    front = b"Host: localhost\r\nContent-Type: application/json\r\n"
    trusted = front + b"Authorization: Bearer " + token.encode() + b"\r\n"
    attacks: dict[str, Any] = {
        "slow headers": lambda kind: _slowly(port, b"GET /api/status HTTP/1.1\r\n" + front, b"X: 1\r\n", counts, kind),
        "slow bodies": lambda kind: _slowly(
            port, b"POST /api/plan HTTP/1.1\r\n" + trusted + b"Content-Length: 500000\r\n\r\n", b" " * 100, counts, kind
        ),
        "flood": lambda kind: _flood(
            port, b"POST /api/shoots HTTP/1.1\r\n" + front + b"Authorization: Bearer guess\r\n\r\n", counts, kind
        ),
        "garbage": lambda kind: _garbage(port, counts, kind),
        "slow viewer": lambda kind: _never_reads(
            port, b"GET /api/events?after=0 HTTP/1.1\r\n" + trusted + b"\r\n", counts, kind
        ),
        "slow download": lambda kind: _never_reads(
            port, b"GET " + picture.encode() + b" HTTP/1.1\r\n" + trusted + b"\r\n", counts, kind
        ),
    }

    async def again_and_again(kind: str) -> None:
        while True:
            try:
                await attacks[kind](kind)
            except (OSError, EOFError, ValueError):
                counts[f"{kind}: sent away"] += 1

    await asyncio.gather(*(again_and_again(kind) for kind, number in CLIENTS.items() for _ in range(number)))


def attack(port: int, token: str, picture: str, told: Any, until: Any) -> None:
    """In a process of its own: all clients, until told to end."""
    os.nice(19)
    counts: Counter[str] = Counter()

    async def run() -> None:
        siege = asyncio.create_task(_besiege(port, token, picture, counts))
        await asyncio.to_thread(until.wait)
        told.put(counts)
        told.close()
        told.join_thread()
        assert not siege.done()
        os._exit(0)  # whatever fifty clients are in the middle of

    asyncio.run(run())


def pace_s(service: Served) -> tuple[float, str]:
    """Seconds from frame to frame of one shoot, and its ID."""
    shoot_id = service.begin(frames=FRAMES).json()["shoot_id"]
    service.until(lambda: service.shoot(shoot_id)["state"] == "published", within_s=120)
    service.idle()
    told = service.local.get(f"/api/shoots/{shoot_id}/frames").json()
    moments = [datetime.fromisoformat(frame["exposed_at"].replace("Z", "+00:00")) for frame in told]
    return (moments[-1] - moments[0]).total_seconds() / (FRAMES - 1), shoot_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, served(Path(folder), camera=CAMERA) as service:
        assert service.process is not None
        process = psutil.Process(service.process.pid)
        _, shoot_id = pace_s(service)  # paints the scene, and warms up
        version = service.shoot(shoot_id)["versions"][0]
        picture = f"/api/shoots/{shoot_id}/versions/1/{next(name for name in version['files'] if name == 'result.tif')}"
        calm, besieged, sizes, halts = [], [], [process.memory_info().rss], []
        total: Counter[str] = Counter()
        for _ in range(arguments.rounds):
            calm.append(pace_s(service)[0])
            told: multiprocessing.Queue[Counter[str]] = multiprocessing.Queue()
            until = multiprocessing.Event()
            siege = multiprocessing.Process(
                target=attack, args=(service.port, service.token, picture, told, until), daemon=True
            )
            siege.start()
            time.sleep(1)
            besieged.append(pace_s(service)[0])
            began_s = time.monotonic()
            assert service.local.post("/api/halt").status_code == 204
            halts.append(time.monotonic() - began_s)
            sizes.append(process.memory_info().rss)
            until.set()
            total.update(told.get(timeout=20))
            siege.join(5)
        print(f"frames: {FRAMES} a shoot, {arguments.rounds} rounds, {sum(CLIENTS.values())} clients: {dict(total)}")
        print(f"calm:     {statistics.median(calm) * 1000:.1f} ms a frame ({[round(s * 1000) for s in calm]})")
        print(f"besieged: {statistics.median(besieged) * 1000:.1f} ms a frame ({[round(s * 1000) for s in besieged]})")
        print(f"growth of the median: {(statistics.median(besieged) / statistics.median(calm) - 1) * 100:+.1f} %")
        print(f"memory of the service: {sizes[0] >> 20} MB before, {[size >> 20 for size in sizes[1:]]} MB besieged")
        print(f"halt, by the Unix socket, besieged: {[round(s * 1000) for s in halts]} ms")


if __name__ == "__main__":
    main()
