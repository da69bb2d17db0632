"""Every address and switch port comes from the overlay's own description; a wrong overlay is told by name."""

from __future__ import annotations

import pytest

from focusrail_drivers.accelerators.kv260.layout import CameraLayout, layout_of
from focusrail_drivers.accelerators.kv260.wiring import Design, Port, WrongOverlay


def test_the_real_overlay_is_read_as_its_documentation_says(real_metadata):
    layout = layout_of(Design(real_metadata / "cv_dfx_3_pr.hwh"), "pr_0")
    assert layout.switch == "composable/axis_switch" and layout.switch_outputs == 15
    assert layout.vdma == "video/axi_vdma" and layout.first_filter == "composable/filter2d_accel"
    assert (layout.pack, layout.unpack) == ("video/pixel_pack", "video/pixel_unpack")
    assert (layout.out_of_memory, layout.into_memory, layout.into_first, layout.out_of_first) == (0, 0, 2, 2)
    assert layout.into_region == {"stream_in0": 9, "stream_in1": 10}
    assert layout.out_of_region == {"stream_out0": 10, "stream_out1": 11}
    assert (layout.control, layout.decouple_bit, layout.decoupled_bit) == ("composable/pipeline_control", 0, 3)


def test_the_real_overlays_camera_is_found_by_its_receiver_and_its_streams(real_metadata):
    layout = layout_of(Design(real_metadata / "cv_dfx_3_pr.hwh"), "pr_0")
    assert layout.camera == CameraLayout("mipi", "mipi/axi_vdma", 8, "mipi/mipi_csi2_rx_subsyst", 1, 1)


@pytest.mark.parametrize(("region", "bit", "first_port"), [("pr_1", 1, 11), ("pr_2", 2, 13)])
def test_each_region_has_its_own_ports_and_decoupler(real_metadata, region, bit, first_port):
    layout = layout_of(Design(real_metadata / "cv_dfx_3_pr.hwh"), region)
    assert layout.decouple_bit == bit and layout.into_region["stream_in0"] == first_port


def test_a_block_in_a_region_is_found_behind_the_regions_own_ports(real_metadata):
    design = Design(real_metadata / "cv_dfx_3_pr_composable_pr_1_cornerharris_fifo_partial.hwh")
    assert design.boundary(Port("cornerHarris_accel", "stream_in")) == "stream_in0"
    assert design.boundary(Port("cornerHarris_accel", "stream_out")) == "stream_out0"
    assert design.boundary(Port("axis_data_fifo_0", "S_AXIS")) == "stream_in1"


def design_of(tmp_path, *modules):
    file = tmp_path / "some.hwh"
    inside = "".join(f'<MODULE FULLNAME="/{path}" MODTYPE="{kind}" INSTANCE="i"/>' for path, kind in modules)
    file.write_text(f"<EDKSYSTEM><MODULES>{inside}</MODULES></EDKSYSTEM>")
    return Design(file)


SWITCH, FILTER = ("composable/axis_switch", "axis_switch"), ("composable/filter2d_accel", "filter2d_accel")


def test_the_overlay_of_composable_pipeline_1_0_is_refused_by_name(tmp_path):
    design = design_of(tmp_path, SWITCH, FILTER, ("composable/pr_0", "x"), ("composable/pr_join", "x"))
    with pytest.raises(WrongOverlay, match=r"cv_dfx_4_pr of Composable Pipeline 1\.0 .* needs cv_dfx_3_pr"):
        layout_of(design, "pr_0")


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ((), "has no AXI4-Stream switch"),
        ((SWITCH,), "has no composable/filter2d_accel"),
        ((SWITCH, FILTER), "has no region composable/pr_0"),
        ((SWITCH, FILTER, ("composable/pr_0", "x")), "no VDMA feeds the switch"),
    ],
)
def test_any_other_overlay_is_told_by_what_it_lacks(tmp_path, modules, says):
    with pytest.raises(WrongOverlay, match=says):
        layout_of(design_of(tmp_path, *modules), "pr_0")


def test_a_bitstream_without_its_description_is_told_so(tmp_path):
    with pytest.raises(WrongOverlay, match=r"cv_dfx_3_pr\.hwh is missing; it belongs beside the bitstream"):
        Design(tmp_path / "cv_dfx_3_pr.hwh")
    (tmp_path / "broken.hwh").write_text("<EDKSYSTEM>")
    with pytest.raises(WrongOverlay, match="is no hardware description"):
        Design(tmp_path / "broken.hwh")
