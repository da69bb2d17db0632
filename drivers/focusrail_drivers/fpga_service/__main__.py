"""The service without the rest of focusrail: python -m focusrail_drivers.fpga_service --socket PATH."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.base import DriverError
from focusrail_drivers.fpga_service.service import SOCKET, serve


def main() -> int:
    """Serve until SIGTERM. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m focusrail_drivers.fpga_service", description=__doc__)
    parser.add_argument("--socket", type=Path, default=SOCKET, help="where clients connect (%(default)s)")
    parser.add_argument("--options", default="{}", help="the driver's options, as a JSON object")
    parser.add_argument("--device", help="a module that puts another board in pynq's place")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        options = Kv260Accelerator.Options(**json.loads(given.options))
    except (TypeError, ValueError) as error:
        parser.error(f"--options: {error}")
    try:
        serve(options, given.socket, device=given.device)
    except DriverError as error:
        logging.getLogger(__package__).error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
