"""Metadata of the overlay that pynq can read, made from a `Layout`: what is needed of a hardware handoff, no more.

A board's own files (thousands of parameters, written by Vivado) come with its overlay and may be used instead. These
say the same of what a driver may ask for: addresses, types, parameters of the DMA, GPIO and switch, interrupts, and
the chain of stream connections between the switch and its blocks, decouplers included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from focusrail_drivers.accelerators.kv260_emulator import mipi
from focusrail_drivers.accelerators.kv260_emulator.layout import MODULES, Layout, Window

_PROCESSOR = "ps_e"
_BUS = "M_AXI_HPM0_LPD"
_CLOCK_MHZ = (99.999001, 299.997009, 299.997009)


@dataclass(frozen=True, slots=True)
class _Type:
    """What a kind of block is called, and its register interface ("" for none)."""

    vlnv: str
    registers: str = ""


_HLS = "xilinx.com:hls:{}:1.0"
_TYPES = {
    "axi_intc": _Type("xilinx.com:ip:axi_intc:4.1", "s_axi"),
    "axi_vdma": _Type("xilinx.com:ip:axi_vdma:6.3", "S_AXI_LITE"),
    "pixel_pack": _Type("xilinx.com:hls:pixel_pack_2:1.0", "s_axi_control"),
    "pixel_unpack": _Type("xilinx.com:hls:pixel_unpack_2:1.0", "s_axi_control"),
    "axis_switch": _Type("xilinx.com:ip:axis_switch:1.1", "S_AXI_CTRL"),
    "pipeline_control": _Type("xilinx.com:ip:axi_gpio:2.0", "S_AXI"),
    "gpio_ip_reset": _Type("xilinx.com:ip:axi_gpio:2.0", "S_AXI"),
    "mipi_csi2_rx_subsyst": _Type("xilinx.com:ip:mipi_csi2_rx_subsystem:5.1", "csirxss_s_axi"),
    "demosaic": _Type("xilinx.com:ip:v_demosaic:1.1", "s_axi_CTRL"),
    "gamma_lut": _Type("xilinx.com:ip:v_gamma_lut:1.1", "s_axi_CTRL"),
    "v_proc_sys": _Type("xilinx.com:ip:v_proc_ss:2.3", "s_axi_ctrl"),
    "axis_channel_swap": _Type("xilinx.com:ip:axis_subset_converter:1.1"),
    "axis_subset_converter": _Type("xilinx.com:ip:axis_subset_converter:1.1"),
    "duplicate_accel": _Type("xilinx.com:ip:axis_broadcaster:1.1"),
    "axis_data_fifo_0": _Type("xilinx.com:ip:axis_data_fifo:2.0"),
    "pixel_reorder_mm2s": _Type("xilinx.com:ip:axis_subset_converter:1.1"),
    "pixel_reorder_s2mm": _Type("xilinx.com:ip:axis_subset_converter:1.1"),
    "axis_dwidth_24_48": _Type("xilinx.com:ip:axis_dwidth_converter:1.1"),
    "axis_dwidth_48_24": _Type("xilinx.com:ip:axis_dwidth_converter:1.1"),
}


def _type(name: str) -> _Type:
    if name.startswith("axisreg"):
        return _Type("xilinx.com:ip:axis_register_slice:1.1")
    if name.startswith("dfx_decoupler"):
        return _Type("xilinx.com:ip:dfx_decoupler:1.0")
    return _TYPES.get(name) or _Type(_HLS.format(name), "s_axi_control")


def _parameters(path: str, layout: Layout) -> Mapping[str, object]:
    name = path.rpartition("/")[2]
    if name == "axi_vdma":
        camera = path == "mipi/axi_vdma"
        return {
            "C_NUM_FSTORES": mipi.FRAME_STORES if camera else layout.frame_stores,
            "C_INCLUDE_MM2S": int(not camera),
            "C_INCLUDE_S2MM": 1,
            "C_M_AXI_MM2S_ADDR_WIDTH": 32,
            "C_M_AXI_S2MM_ADDR_WIDTH": 32,
            "C_INCLUDE_SG": 0,
            "C_DYNAMIC_RESOLUTION": 1,
        }
    if name == "pipeline_control":
        regions = len(layout.regions)
        return {"C_IS_DUAL": 1, "C_GPIO_WIDTH": 1, "C_GPIO2_WIDTH": 2 * regions}
    if name == "axis_switch":
        masters = 1 + max(port.into for port in layout.ports.values())
        slaves = 1 + max(port.out_of for port in layout.ports.values())
        return {
            "C_NUM_MI_SLOTS": masters,
            "C_NUM_SI_SLOTS": slaves,
            "NUM_MI": masters,
            "NUM_SI": slaves,
            "ROUTING_MODE": 1,
        }
    return {}


class _Design:
    """A hardware handoff in the making: modules by their path, connected by streams and wires."""

    def __init__(self, name: str) -> None:
        self.root = ET.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2022.1")
        ET.SubElement(
            self.root, "SYSTEMINFO", ARCH="zynquplus", BOARD="xilinx.com:kv260_som:part0:1.3", DEVICE="xck26", NAME=name
        )
        self.external_ports = ET.SubElement(self.root, "EXTERNALPORTS")
        self.external = ET.SubElement(self.root, "EXTERNALINTERFACES")
        self._modules = ET.SubElement(self.root, "MODULES")
        self._parts: dict[str, dict[str, ET.Element]] = defaultdict(dict)

    def module(self, path: str, parameters: Mapping[str, object], **attributes: str) -> None:
        """Add a module; what it is, its attributes say, or else its name."""
        name = path.rpartition("/")[2]
        if not attributes:
            attributes = {"MODTYPE": _type(name).vlnv.split(":")[2], "VLNV": _type(name).vlnv}
        attributes |= {"FULLNAME": f"/{path}", "INSTANCE": path.replace("/", "_"), "IS_ENABLE": "1"}
        element = ET.SubElement(self._modules, "MODULE", attributes)
        for part in ("PARAMETERS", "PORTS", "BUSINTERFACES", "MEMORYMAP"):
            self._parts[path][part] = ET.SubElement(element, part)
        for parameter, value in parameters.items():
            ET.SubElement(self._parts[path]["PARAMETERS"], "PARAMETER", NAME=parameter, VALUE=str(value))

    def block(self, path: str, layout: Layout) -> None:
        """Add a block of the overlay with its register interface."""
        name = path.rpartition("/")[2]
        self.module(path, _parameters(path, layout))
        if _type(name).registers:
            self.interface(path, _type(name).registers, "SLAVE", "aximm", f"{path.replace('/', '_')}_control")

    def interface(self, path: str, name: str, kind: str, protocol: str, bus: str) -> ET.Element:
        """Add a bus interface to a module."""
        return ET.SubElement(
            self._parts[path]["BUSINTERFACES"],
            "BUSINTERFACE",
            BUSNAME=bus,
            NAME=name,
            TYPE=kind,
            VLNV=f"xilinx.com:interface:{protocol}:1.0",
        )

    def wire(self, source: tuple[str, str], target: tuple[str, str], **attributes: str) -> None:
        """Connect an output (path, port) with an input."""
        signal = f"{source[0].replace('/', '_')}_{source[1]}"
        for direction, (path, port), (peer, peer_port) in (("O", source, target), ("I", target, source)):
            attributes |= {"DIR": direction, "NAME": port, "SIGNAME": signal}
            element = ET.SubElement(self._parts[path]["PORTS"], "PORT", attributes)
            connections = ET.SubElement(element, "CONNECTIONS")
            ET.SubElement(connections, "CONNECTION", INSTANCE=peer.replace("/", "_"), PORT=peer_port)

    def stream(self, source: tuple[str, str], target: tuple[str, str]) -> None:
        """Connect two stream interfaces (path, name)."""
        bus = f"{source[0].replace('/', '_')}_{source[1]}"
        for kind, (path, name) in (("INITIATOR", source), ("TARGET", target)):
            maps = ET.SubElement(self.interface(path, name, kind, "axis", bus), "PORTMAPS")
            ET.SubElement(maps, "PORTMAP", LOGICAL="TVALID", PHYSICAL=f"{name.lower()}_tvalid")
        self.wire((source[0], f"{source[1].lower()}_tvalid"), (target[0], f"{target[1].lower()}_tvalid"), SIGIS="undef")

    def address(self, owner: ET.Element, instance: str, window: Window, *, to: str) -> None:
        """Say where a block's registers lie."""
        ET.SubElement(
            owner,
            "MEMRANGE",
            ADDRESSBLOCK="Reg",
            BASEVALUE=f"0x{window.address:08X}",
            HIGHVALUE=f"0x{window.address + window.size_bytes - 1:08X}",
            INSTANCE=instance,
            MASTERBUSINTERFACE=to if owner.tag != "MEMORYMAP" else _BUS,
            MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE=to,
        )

    def memory_map(self, path: str) -> ET.Element:
        """A module's list of the addresses that it reaches."""
        return self._parts[path]["MEMORYMAP"]

    def text(self) -> str:
        """The file."""
        ET.indent(self.root)
        return ET.tostring(self.root, encoding="unicode", xml_declaration=True)


def full(layout: Layout) -> str:
    """The metadata of the full bitstream."""
    design = _Design("video_cp")
    _add_processor(design)
    for path in layout.windows:
        if path.rpartition("/")[2] not in layout.regions:
            design.block(path, layout)
    _add_video(design, layout)
    for name, port in layout.ports.items():
        into = ("composable/axis_switch", f"M{port.into:02d}_AXIS")
        out_of = ("composable/axis_switch", f"S{port.out_of:02d}_AXIS")
        region, _, place = name.partition("/")
        if place:
            _add_region_port(design, region, place, into, out_of)
        elif name == "ps_video":
            design.stream(into, ("video/axis_dwidth_24_48", "S_AXIS"))
            design.stream(("video/axis_dwidth_48_24", "M_AXIS"), out_of)
        elif name == "duplicate_accel":
            design.block("composable/duplicate_accel", layout)
            design.stream(into, ("composable/duplicate_accel", "S_AXIS"))
            design.stream(("composable/duplicate_accel", "M00_AXIS"), out_of)
        elif name == "mipi":
            _add_camera(design, layout, into, out_of)
        else:
            design.stream(into, (f"composable/{name}", "stream_in"))
            design.stream((f"composable/{name}", "stream_out"), out_of)
    _add_decoupling(design, layout)
    for path, window in layout.windows.items():
        name = path.rpartition("/")[2]
        windows = layout.region_windows(name) if name in layout.regions else (window,)
        registers = "s_axi_control" if name in layout.regions else _type(name).registers
        for each in windows:
            design.address(design.memory_map(_PROCESSOR), path.replace("/", "_"), each, to=registers)
    return design.text()


def _add_processor(design: _Design) -> None:
    clocks: dict[str, object] = {}
    for place in range(4):
        clocks[f"PSU__FPGA_PL{place}_ENABLE"] = int(place < len(_CLOCK_MHZ))
        clocks[f"PSU__CRL_APB__PL{place}_REF_CTRL__SRCSEL"] = "IOPLL"
        clocks[f"PSU__CRL_APB__PL{place}_REF_CTRL__FREQMHZ"] = 100
        for divisor in range(2):
            clocks[f"PSU__CRL_APB__PL{place}_REF_CTRL__DIVISOR{divisor}"] = 1
    for place, mhz in enumerate(_CLOCK_MHZ):
        clocks[f"PSU__CRL_APB__PL{place}_REF_CTRL__ACT_FREQMHZ"] = mhz
    design.module(_PROCESSOR, clocks, MODTYPE="zynq_ultra_ps_e", VLNV="xilinx.com:ip:zynq_ultra_ps_e:3.4")
    design.interface(_PROCESSOR, _BUS, "MASTER", "aximm", f"{_PROCESSOR}_{_BUS}")


def _add_video(design: _Design, layout: Layout) -> None:
    for name in ("pixel_reorder_mm2s", "pixel_reorder_s2mm", "axis_dwidth_24_48", "axis_dwidth_48_24"):
        design.block(f"video/{name}", layout)
    design.stream(("video/axi_vdma", "M_AXIS_MM2S"), ("video/pixel_unpack", "stream_in_64"))
    design.stream(("video/pixel_unpack", "stream_out_48"), ("video/pixel_reorder_mm2s", "S_AXIS"))
    design.stream(("video/pixel_reorder_mm2s", "M_AXIS"), ("video/axis_dwidth_48_24", "S_AXIS"))
    design.stream(("video/axis_dwidth_24_48", "M_AXIS"), ("video/pixel_reorder_s2mm", "S_AXIS"))
    design.stream(("video/pixel_reorder_s2mm", "M_AXIS"), ("video/pixel_pack", "stream_in_48"))
    design.stream(("video/pixel_pack", "stream_out_64"), ("video/axi_vdma", "S_AXIS_S2MM"))
    lines = sorted(layout.interrupts.items(), key=lambda line: line[1])
    design.module("xlconcat", {"NUM_PORTS": 1 + lines[-1][1]}, MODTYPE="xlconcat", VLNV="xilinx.com:ip:xlconcat:2.1")
    for line, place in lines:
        path, _, pin = line.rpartition("/")
        design.wire((path, pin), ("xlconcat", f"In{place}"), SIGIS="INTERRUPT")
    design.wire(("xlconcat", "dout"), ("axi_intc", "intr"), SIGIS="INTERRUPT")
    design.wire(("axi_intc", "irq"), (_PROCESSOR, "pl_ps_irq0"), SIGIS="INTERRUPT")


def _add_camera(design: _Design, layout: Layout, into: tuple[str, str], out_of: tuple[str, str]) -> None:
    """The camera's hierarchy: receiver to switch, switch to memory."""
    for name in ("axis_subset_converter", "axis_channel_swap", "axis_dwidth_48_24", "axis_dwidth_24_48"):
        design.block(f"mipi/{name}", layout)
    chain = [
        ("mipi/mipi_csi2_rx_subsyst", "", "video_out"),
        ("mipi/axis_subset_converter", "S_AXIS", "M_AXIS"),
        ("mipi/demosaic", "s_axis_video", "m_axis_video"),
        ("mipi/gamma_lut", "s_axis_video", "m_axis_video"),
        ("mipi/v_proc_sys", "s_axis", "m_axis"),
        ("mipi/axis_channel_swap", "S_AXIS", "M_AXIS"),
        ("mipi/axis_dwidth_48_24", "S_AXIS", "M_AXIS"),
    ]
    for (path, _, out), (following, port, _) in pairwise(chain):
        design.stream((path, out), (following, port))
    design.stream((chain[-1][0], chain[-1][2]), out_of)
    design.stream(into, ("mipi/axis_dwidth_24_48", "S_AXIS"))
    design.stream(("mipi/axis_dwidth_24_48", "M_AXIS"), ("mipi/pixel_pack", "stream_in_48"))
    design.stream(("mipi/pixel_pack", "stream_out_64"), ("mipi/axi_vdma", "S_AXIS_S2MM"))


def _add_region_port(design: _Design, region: str, place: str, into: tuple[str, str], out_of: tuple[str, str]) -> None:
    path, decoupler = f"composable/{region}", f"composable/dfx_decouplers/dfx_decoupler_{region}"
    if place == "0":
        design.module(path, {}, BD=f"composable_{region}_dilate_erode_inst_0", BDTYPE="BLOCK_CONTAINER")
        design.interface(path, "s_axi_control", "SLAVE", "aximm", f"composable_{region}_control")
        design.module(decoupler, {})
    slice_ = f"composable/dfx_decouplers/axisreg_m_{region}_{place}"
    design.module(slice_, {})
    design.stream(into, (slice_, "S_AXIS"))
    design.stream((slice_, "M_AXIS"), (decoupler, f"s_in_{place}"))
    design.stream((decoupler, f"rp_in_{place}"), (path, f"stream_in{place}"))
    design.stream((path, f"stream_out{place}"), (decoupler, f"rp_out_{place}"))
    design.stream((decoupler, f"s_out_{place}"), out_of)


def _add_decoupling(design: _Design, layout: Layout) -> None:
    """The wires by which the GPIO's second channel cuts regions off and sees that they are."""
    control, folder = "composable/pipeline_control", "composable/dfx_decouplers"
    regions = len(layout.regions)
    states = f"{folder}/xlconcat_0"
    design.module(states, {"NUM_PORTS": 2 * regions}, MODTYPE="xlconcat", VLNV="xilinx.com:ip:xlconcat:2.1")
    design.wire((states, "dout"), (control, "gpio2_io_i"))
    for place, region in enumerate(layout.regions):
        bit, decoupler = f"{folder}/xlslice_{region}", f"{folder}/dfx_decoupler_{region}"
        range_of_one = {"DIN_FROM": place, "DIN_TO": place}
        design.module(bit, range_of_one, MODTYPE="xlslice", VLNV="xilinx.com:ip:xlslice:1.0")
        design.wire((control, "gpio2_io_o"), (bit, "Din"))
        design.wire((bit, "Dout"), (decoupler, "decouple"))
        design.wire((decoupler, "decouple_status"), (states, f"In{regions + place}"))


def partial(layout: Layout, region: str, module: str) -> str:
    """The metadata of a partial bitstream: its blocks by their names within the region."""
    design = _Design(f"composable_{region}_{module}_inst_0")
    control = ET.SubElement(
        design.external, "BUSINTERFACE", BUSNAME="External_Interface_s_axi_control", NAME="s_axi_control", TYPE="TARGET"
    )
    for place, name in enumerate(MODULES[region][module]):
        design.block(name, layout)
        bus = f"External_Interface_stream_in{place}"
        ports = ("S_AXIS", "M_AXIS") if name.startswith("axis_data_fifo") else ("stream_in", "stream_out")
        design.interface(name, ports[0], "TARGET", "axis", bus)
        ET.SubElement(design.external, "BUSINTERFACE", BUSNAME=bus, NAME=f"stream_in{place}", TYPE="TARGET")
        out = f"{name}_{ports[1]}"
        design.interface(name, ports[1], "INITIATOR", "axis", out)
        ET.SubElement(design.external, "BUSINTERFACE", BUSNAME=out, NAME=f"stream_out{place}", TYPE="INITIATOR")
        if _type(name).registers:
            design.address(control, name, layout.region_windows(region)[place], to="s_axi_control")
    return design.text()


def write(directory: Path, layout: Layout) -> None:
    """Write the metadata of all bitstreams of `layout` into `directory`, each beside an empty bitstream."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {layout.bitstream(): full(layout)}
    for region, module, name in layout.partial_bitstreams():
        files[name] = partial(layout, region, module)
    for name, text in files.items():
        (directory / name).write_bytes(b"")
        (directory / name).with_suffix(".hwh").write_text(text, encoding="utf-8")
