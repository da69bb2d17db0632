"""Where in the Composable Pipeline the blocks of the focus measure are, resolved from the overlay's own description."""

from __future__ import annotations

import re
from dataclasses import dataclass

from focusrail_drivers.accelerators.kv260.wiring import Design, Port, WrongOverlay

FILTER = "filter2d_accel"


@dataclass(frozen=True, slots=True)
class CameraLayout:
    """The MIPI camera's hierarchy: it feeds the switch, and takes its frames back from there, to memory."""

    hierarchy: str
    vdma: str
    frame_stores: int
    receiver: str
    into_memory: int
    out_of_sensor: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths are keys of pynq's ip_dict; ports are the switch's: `into` a block (MI), `out of` a block (SI)."""

    switch: str
    switch_outputs: int
    vdma: str
    pack: str
    unpack: str
    first_filter: str
    region: str  # the reconfigurable one that holds the second filter
    control: str  # the GPIO: channel 1 resets the filters, channel 2 decouples regions
    decouple_bit: int
    decoupled_bit: int  # reads 1 while the region is cut off
    out_of_memory: int
    into_memory: int
    into_first: int
    out_of_first: int
    into_region: dict[str, int]  # by the region's own port name, as stream_in0
    out_of_region: dict[str, int]
    camera: CameraLayout | None = None


def layout_of(design: Design, region: str) -> Layout:
    """The layout of a design whose second filter goes into `region`, as pr_0. Raises WrongOverlay."""
    switches = design.paths("axis_switch")
    hierarchy = switches[0].rpartition("/")[0] if switches else ""
    first, region_path = f"{hierarchy}/{FILTER}", f"{hierarchy}/{region}"
    if any(f"{hierarchy}/{old}" in design for old in ("pr_join", "pr_fork")):
        raise WrongOverlay(
            f"{design.file.name} is the overlay cv_dfx_4_pr of Composable Pipeline 1.0 (PYNQ 2.7); "
            "this driver needs cv_dfx_3_pr of 1.1.0 (PYNQ 3.0.1), which Kria-PYNQ 3.0 installs"
        )
    for what, there in (("AXI4-Stream switch", len(switches) == 1), (first, first in design)):
        if not there:
            raise WrongOverlay(f"{design.file.name} has no {what}: it is not the Composable Pipeline cv_dfx_3_pr")
    if region_path not in design:
        raise WrongOverlay(f"{design.file.name} has no region {region_path}")
    switch = switches[0]
    outputs = int(design.parameter(switch, "NUM_MI") or design.parameter(switch, "C_NUM_MI_SLOTS") or 0)
    inputs = int(design.parameter(switch, "NUM_SI") or design.parameter(switch, "C_NUM_SI_SLOTS") or 0)
    sinks = {design.far_end(Port(switch, f"M{number:02}_AXIS")): number for number in range(outputs)}
    sources = {design.far_end(Port(switch, f"S{number:02}_AXIS")): number for number in range(inputs)}
    vdma = next((port.module for port in sources if port and port.name == "M_AXIS_MM2S"), None)
    if vdma is None:
        raise WrongOverlay(f"{design.file.name}: no VDMA feeds the switch")
    control, bit, status = _decoupler(design, region_path)
    try:
        return Layout(
            switch=switch,
            switch_outputs=outputs,
            vdma=vdma,
            pack=_beside(design, vdma, "pixel_pack"),
            unpack=_beside(design, vdma, "pixel_unpack"),
            first_filter=first,
            region=region_path,
            control=control,
            decouple_bit=bit,
            decoupled_bit=status,
            out_of_memory=sources[Port(vdma, "M_AXIS_MM2S")],
            into_memory=sinks[Port(vdma, "S_AXIS_S2MM")],
            into_first=sinks[Port(first, "stream_in")],
            out_of_first=sources[Port(first, "stream_out")],
            into_region={p.name: number for p, number in sinks.items() if p and p.module == region_path},
            out_of_region={p.name: number for p, number in sources.items() if p and p.module == region_path},
            camera=_camera(design, vdma, sinks, sources),
        )
    except KeyError as error:
        raise WrongOverlay(f"{design.file.name}: the switch is not connected to {error.args[0]}") from None


def _camera(
    design: Design, vdma: str, sinks: dict[Port | None, int], sources: dict[Port | None, int]
) -> CameraLayout | None:
    """The hierarchy of a MIPI receiver, if both of its streams hang on the switch."""
    for receiver in design.paths("mipi_csi2_rx_subsystem"):
        hierarchy = receiver.rpartition("/")[0]
        into = {p.module: number for p, number in sinks.items() if p and p.name == "S_AXIS_S2MM" and p.module != vdma}
        dma = next((path for path in into if path.rpartition("/")[0] == hierarchy), None)
        out_of = [number for p, number in sources.items() if p and p.module.rpartition("/")[0] == hierarchy]
        if dma is not None and len(out_of) == 1:
            stores = int(design.parameter(dma, "C_NUM_FSTORES") or 0)
            return CameraLayout(hierarchy, dma, stores, receiver, into[dma], out_of[0])
    return None


def _beside(design: Design, vdma: str, kind: str) -> str:
    """The converter of pixels in the VDMA's own hierarchy."""
    path = f"{vdma.rpartition('/')[0]}/{kind}"
    if path in design:
        return path
    raise WrongOverlay(f"{design.file.name} has no {kind} beside {vdma}")


def _decoupler(design: Design, region: str) -> tuple[str, int, int]:
    """The GPIO, the bit of its channel 2 that cuts a region off, and the bit that says that it is."""
    for path in design.paths("dfx_decoupler"):
        inside = design.far_end(Port(path, "rp_in_0"))
        if inside is None or inside.module != region:
            continue
        bit, status = design.port_driving(path, "decouple"), design.port_driving(path, "decouple_status")
        if bit is None or status is None:
            break
        control = design.port_driving(bit.module, "Din")
        place = re.search(r"\d+$", status.name)
        if control is None or place is None:
            break
        return control.module, int(design.parameter(bit.module, "DIN_FROM") or 0), int(place[0])
    raise WrongOverlay(f"{design.file.name}: nothing says how region {region} is decoupled")
