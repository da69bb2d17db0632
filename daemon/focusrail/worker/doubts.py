"""What a person should look at before trusting a result: the warnings of report and command line."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from focusrail.model.method import MODELS, Method
from focusrail.model.outcome import FrameOutcome
from focusrail.stacking.features import ADVICE, ADVICE_FOR_SEVERAL
from focusrail.stacking.reach import Unreached

# Over a stack's median: a quarter fits where it breathes and may only be shifted, 36 % with parallax, 90 % else.
_POOR_FIT, _FEWEST_FITS = 0.3, 3
_SMALL_CROP = 0.6  # of the canvas; less is worth a warning
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")
_MOST_REASONS = 5  # that are told for frames left out
_MOST_PLACES = 3  # that are named; more are no place


def left_out(frames: Sequence[FrameOutcome]) -> list[str]:
    """Of frames that could not be used, and were not unwanted anyway."""
    out = [frame for frame in frames if not (frame.used or frame.unwanted)]
    if not out:
        return []
    reasons = reasons_of([frame.reason for frame in out], most=_MOST_REASONS, where=", see the table of frames")
    return [f"{len(out)} of {len(frames)} frames were left out: {reasons}"]


def reasons_of(reasons: Sequence[str], *, most: int, where: str = "") -> str:
    """So many of the reasons in one sentence, with advice that several share told once; `where` more are told."""
    named, more = reasons[:most], len(reasons) - most
    advised = sum(reason.endswith(ADVICE) for reason in named)
    if advised > 1:
        named = [reason.removesuffix(f"; {ADVICE}") for reason in named]
    parts = [*named, *([f"and {more} more{where}"] if more > 0 else []), *([ADVICE_FOR_SEVERAL] if advised > 1 else [])]
    return "; ".join(parts)


def poor_fit(frames: Sequence[FrameOutcome], model: str) -> list[str]:
    """Of neighbours that the transform's model does not lay on each other."""
    shares = [frame.inliers / frame.matches for frame in frames if frame.used and frame.matches]
    if len(shares) < _FEWEST_FITS or (fits := median(shares)) >= _POOR_FIT:
        return []
    wider = MODELS[min(MODELS.index(model) + 1, len(MODELS) - 1)]
    what = f"try --model {wider}" if wider != model else "smaller steps may help"
    return [f"only {fits:.0%} of what neighbouring frames show fits the model {model}: edges may be doubled; {what}"]


def small_crop(share: float) -> list[str]:
    """Of a result that covers only this share of a frame."""
    if share >= _SMALL_CROP:
        return []
    return [f"only {share:.0%} of the frame is covered by all frames: another reference frame may keep more"]


def in_a_file(needed_bytes: int, file_bytes: int) -> list[str]:
    """Of planes that had no room in memory."""
    if not file_bytes:
        return []
    needed, kept = needed_bytes / 1e9, file_bytes / 1e9
    said = f"frames of this size need {needed:.2f} GB, of which {kept:.2f} GB were kept in a file, which is slower: "
    return [said + "more memory, or a larger stacking.memory_limit_mb, would help"]


def measured_by(method: Method, accelerator: str) -> str:
    """What measured focus: for some sizes of `lob` the processor, whatever the accelerator is."""
    if method.accelerated or accelerator == "cpu":
        return accelerator
    return f"the processor (lob of {method.blur_px} and {method.laplacian_px}), depth by {accelerator}"


def lost_accelerator(why: str, frame: int | None) -> list[str]:
    """Of an accelerator that was lost at a frame, or before the first."""
    if not why:
        return []
    since = "all frames were" if frame is None else f"from frame {frame} on frames were"
    return [f"{since} measured without the accelerator, by the same arithmetic on the processor: {why}"]


def not_compiled(compiled: bool) -> list[str]:
    """Of loops that run in numpy."""
    if compiled:
        return []
    return [
        "focusrail was installed without a C compiler, so stacking is many times slower: install one, then focusrail"
    ]


def too_shallow(found: Sequence[Unreached], frames: Sequence[FrameOutcome]) -> list[str]:
    """Of what is still getting sharper where the stack ends; `frames` in the order of the stack."""
    used = [frame for frame in frames if frame.used]
    said = []
    for one in found:
        frame = used[one.number]
        end = "first" if one.number == 0 else "last" if one.number == len(used) - 1 else "outermost"
        at = "" if frame.position_mm is None else f" at {frame.position_mm:.3f} mm"
        said.append(
            f"the stack is too shallow: {where(one.ninths)} something is still getting sharper at its {end} frame "
            f"({frame.index}{at}), {max(one.share, 0.001):.1%} of all sharp detail; go on beyond it"
        )
    return said


def where(ninths: Sequence[tuple[int, int]]) -> str:
    """The parts of a picture cut in three by three, (row, column) each, in words."""
    if len(ninths) > 2 * _MOST_PLACES:
        return "nearly everywhere"
    names = [
        " ".join(filter(None, (_ROWS[row], _COLUMNS[column]))) or "middle" for row, column in ninths[:_MOST_PLACES]
    ]
    return "in the " + " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
