"""Where the overlay's blocks lie: their addresses and the ports of the stream switch that they hang on.

The table is that of the Composable Pipeline for the KV260, release 1.1 (overlay `cv_dfx_3_pr`; in its block design
boards/KV260/cv_dfx_3_pr.tcl). Metadata for pynq is made from the same table, and so is the emulated board: a board
with another layout shows whether a driver believes the metadata or its own memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_INTERRUPTS = {
    "video/axi_vdma/s2mm_introut": 0,
    "video/axi_vdma/mm2s_introut": 1,
    "mipi/mipi_csi2_rx_subsyst/csirxss_csi_irq": 2,
    "mipi/axi_vdma/s2mm_introut": 3,
}
REGION_WINDOW_BYTES = 0x8000  # a reconfigurable region has two such windows of registers
PARTIAL_NAME = "{overlay}_composable_{region}_{module}_partial.bit"


@dataclass(frozen=True, slots=True)
class Window:
    """Registers of one block: physical address and size in bytes."""

    address: int
    size_bytes: int = 0x10000

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size_bytes


@dataclass(frozen=True, slots=True)
class Port:
    """One way through a block: the switch's master interface into it and the slave interface out of it."""

    into: int
    out_of: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One overlay. Windows by the path in the block design, ports by block, those of a region as `pr_0/0`, `pr_0/1`."""

    overlay: str
    windows: Mapping[str, Window]
    ports: Mapping[str, Port]
    regions: tuple[str, ...] = ("pr_0", "pr_1", "pr_2")
    interrupts: Mapping[str, int] = field(default_factory=lambda: dict(_INTERRUPTS))  # inputs of axi_intc
    frame_stores: int = 4

    def region_windows(self, region: str) -> tuple[Window, Window]:
        """The two windows of registers of a reconfigurable region."""
        first = self.windows[f"composable/{region}"].address
        return Window(first, REGION_WINDOW_BYTES), Window(first + REGION_WINDOW_BYTES, REGION_WINDOW_BYTES)

    def bitstream(self) -> str:
        """The full bitstream's file name."""
        return f"{self.overlay}.bit"

    def partial_bitstreams(self) -> Iterator[tuple[str, str, str]]:
        """(region, module, file name) of every partial bitstream."""
        for region, modules in MODULES.items():
            for module in modules:
                yield region, module, PARTIAL_NAME.format(overlay=self.overlay, region=region, module=module)


# What may be loaded into each region: the blocks behind its two ports, by their names in the partial design.
MODULES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pr_0": {
        "dilate_erode": ("dilate_accel", "erode_accel"),
        "fast_fifo": ("fast_accel", "axis_data_fifo_0"),
        "filter2d_fifo": ("filter2d_accel", "axis_data_fifo_0"),
    },
    "pr_1": {
        "dilate_erode": ("dilate_accel", "erode_accel"),
        "cornerharris_fifo": ("cornerHarris_accel", "axis_data_fifo_0"),
        "rgb2xyz_fifo": ("rgb2xyz_accel", "axis_data_fifo_0"),
    },
    "pr_2": {
        "dilate_erode": ("dilate_accel", "erode_accel"),
        "subtract": ("subtract_accel",),
        "absdiff": ("absdiff_accel",),
        "add": ("add_accel",),
        "bitwise": ("bitwise_and_accel",),
    },
}
FULL_BITSTREAM_MODULE = "dilate_erode"  # what the full bitstream brings in every region

CV_DFX_3_PR = Layout(
    overlay="cv_dfx_3_pr",
    windows={
        "axi_intc": Window(0x80043000, 0x1000),
        "video/axi_vdma": Window(0x80060000, 0x1000),
        "video/pixel_pack": Window(0x80070000),
        "video/pixel_unpack": Window(0x80080000),
        "composable/lut_accel": Window(0x800A0000),
        "composable/axis_switch": Window(0x800B0000),
        "composable/filter2d_accel": Window(0x800C0000),
        "composable/gray2rgb_accel": Window(0x800D0000),
        "composable/rgb2gray_accel": Window(0x800E0000),
        "composable/rgb2hsv_accel": Window(0x800F0000),
        "composable/colorthresholding_accel": Window(0x80100000),
        "composable/pipeline_control": Window(0x80110000),
        "composable/pr_0": Window(0x80120000),
        "composable/pr_1": Window(0x80130000),
        "composable/pr_2": Window(0x80140000),
        "mipi/axi_vdma": Window(0x80200000),
        "mipi/mipi_csi2_rx_subsyst": Window(0x80210000, 0x2000),
        "mipi/demosaic": Window(0x80220000),
        "mipi/gamma_lut": Window(0x80230000),
        "mipi/gpio_ip_reset": Window(0x80240000),
        "mipi/pixel_pack": Window(0x80250000),
        "mipi/v_proc_sys": Window(0x80260000),
    },
    ports={
        "ps_video": Port(0, 0),
        "mipi": Port(1, 1),
        "filter2d_accel": Port(2, 2),
        "lut_accel": Port(3, 3),
        "rgb2gray_accel": Port(4, 4),
        "gray2rgb_accel": Port(5, 5),
        "rgb2hsv_accel": Port(6, 6),
        "colorthresholding_accel": Port(7, 7),
        "duplicate_accel": Port(8, 8),
        "pr_0/0": Port(9, 10),
        "pr_0/1": Port(10, 11),
        "pr_1/0": Port(11, 12),
        "pr_1/1": Port(12, 13),
        "pr_2/0": Port(13, 14),
        "pr_2/1": Port(14, 15),
    },
)


def rearranged(layout: Layout = CV_DFX_3_PR) -> Layout:
    """An overlay that never was: the same blocks at other addresses and on other ports of the switch."""
    moved = {
        path: Window(0xA0000000 + 0x20000 * place, window.size_bytes)
        for place, (path, window) in enumerate(reversed(list(layout.windows.items())))
    }
    blocks = [name for name in layout.ports if name not in ("ps_video", "mipi", "duplicate_accel")]
    swapped = dict(zip(blocks, itertools.islice(itertools.cycle(blocks), 3, None), strict=False))
    ports = {name: layout.ports[swapped.get(name, name)] for name in layout.ports}
    return Layout(overlay=layout.overlay, windows=moved, ports=ports)
