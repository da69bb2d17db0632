"""The service's answers to `open` and `measure`: scores of the luma in a client's shared memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from focusrail_drivers.fpga_service.fpga import Device
from focusrail_drivers.fpga_service.messages import Measure, Open
from focusrail_drivers.fpga_service.session import Handlers, Session
from focusrail_drivers.fpga_service.shared_memory import Places


def open_fpga(session: Session, request: Open) -> Mapping[str, object]:
    """Raises DriverError if it cannot be opened, or cannot do what the client may ask for."""
    device = session.wait(session.fpga.ready())
    session.wait(session.fpga.do(lambda device: device.check_setting(request.shift)))
    return {"device": device}


def measure(session: Session, request: Measure) -> Mapping[str, object]:
    """Raises ProtocolError if the picture is larger than the memory, AcceleratorLost."""
    places = Places(request.height_px, request.width_px)
    luma = places.luma(session.memory)

    def job(device: Device) -> npt.NDArray[np.uint16]:
        device.shift = request.shift
        # A copy: the driver compares what comes back with the luma, and a client could change that in between.
        return device.measure(np.array(luma))

    places.scores(session.memory)[...] = session.wait(session.fpga.do(job))
    return {}


HANDLERS: Handlers = {Open: open_fpga, Measure: measure}
