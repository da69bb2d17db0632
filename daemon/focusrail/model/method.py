"""How a stack is made: registration, focus measure, fusion. Everything that pixels depend on is here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from focusrail.model.checks import odd, one_of, positive

FUSIONS = ("bands", "soft", "lob", "pyramid", "depthmap")
MODELS = ("translation", "similarity", "affine", "homography")  # of rising freedom
_FORBID_EXTRA: dict[str, str] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Registration:
    """How the transform of a frame to the reference is found."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID_EXTRA

    # dense (all pixels, coarse to fine; SIFT where that fails), sift (L2, ratio test) or orb (Hamming, cross-check)
    detector: str = "dense"
    model: str = "similarity"  # translation (2), similarity (4), affine (6) or homography (8 degrees of freedom)
    estimator: str = "ransac"  # ransac, lmeds, rho or least_squares
    threshold_px: float = 2.0  # reprojection error up to which a match is an inlier
    ratio: float = 0.7  # SIFT: a match must be this much nearer than the second nearest
    orb_features: int = 1000
    best_matches: int = 128  # the nearest in descriptor distance; 0 keeps all
    least_inliers: int = 8  # a frame with fewer is left out
    work_mpx: float = 0.6  # frames are reduced to about this for registration; 0: full size
    chain: bool = True  # to the neighbour and compose; else each frame directly to the reference
    refine: bool = True  # sift and orb: subpixel by dense alignment of the reduced frames

    def __post_init__(self) -> None:
        one_of("detector", self.detector, ("dense", "sift", "orb"))
        one_of("model", self.model, MODELS)
        one_of("estimator", self.estimator, ("ransac", "lmeds", "rho", "least_squares"))
        positive("threshold_px", self.threshold_px)
        positive("ratio", self.ratio)
        positive("orb_features", self.orb_features)


@dataclass(frozen=True, slots=True)
class Method:
    """A fusion method and all it needs. The default is what focusrail recommends."""

    __pydantic_config__: ClassVar[dict[str, str]] = _FORBID_EXTRA

    # bands (two, each a weighted mean), soft (one), lob (the pixel with the largest |LoB|), pyramid (at every scale the
    # coefficient with the largest energy) or depthmap (the frames nearest in depth; reads every frame twice)
    fusion: str = "bands"
    # bands: the finest detail is multiplied by this, for averaging, and focus that falls between frames, take of it.
    detail_gain: float = 1.07
    blur_px: int = 5  # lob: Gaussian kernel size
    laplacian_px: int = 5  # lob: Laplacian kernel size
    reference: str = "first"  # first, middle, last or auto (the smallest field); while shooting always first
    aligned: bool = False  # the frames lie on each other already: no registration
    warp: str = "keys"  # keys (cubic convolution with six points), linear, cubic (four points) or lanczos
    normalise_exposure: bool = True
    crop: bool = True  # to the area that every frame covers
    border: str = "edge"  # beyond a frame: its edge repeated, or black
    registration: Registration = field(default_factory=Registration)

    def __post_init__(self) -> None:
        one_of("fusion", self.fusion, FUSIONS)
        positive("detail_gain", self.detail_gain)
        odd("blur_px", self.blur_px, most=31)
        odd("laplacian_px", self.laplacian_px, most=31)
        one_of("reference", self.reference, ("first", "middle", "last", "auto"))
        one_of("border", self.border, ("edge", "black"))
        one_of("warp", self.warp, ("keys", "linear", "cubic", "lanczos"))

    @property
    def accelerated(self) -> bool:
        """Whether an accelerator measures what decides: of `lob` it knows the sizes 3 and 1 only."""
        return self.fusion != "lob" or (self.blur_px, self.laplacian_px) == (3, 1)

    @property
    def two_passes(self) -> bool:
        """Whether the frames are looked at again after the last has come."""
        return self.fusion == "depthmap"


def notebook() -> Method:
    """The notebook's mathematics, pixel for pixel: `--method lob --compat`."""
    return Method(
        fusion="lob",
        warp="linear",
        normalise_exposure=False,
        crop=False,
        border="black",
        registration=Registration(
            detector="sift", model="homography", work_mpx=0, chain=False, refine=False, least_inliers=4
        ),
    )
