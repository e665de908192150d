"""What the common benchmarks count, so that nobody has to remember it."""

from __future__ import annotations

from dataclasses import dataclass

from mattekit._checks import check_choice
from mattekit.metrics.connectivity_error import EMPTY, Empty
from mattekit.metrics.evaluate import Matte, Region, Scores, evaluate
from mattekit.metrics.inputs import REGIONS


@dataclass(frozen=True, kw_only=True)
class BenchmarkProtocol:
    """How a benchmark is evaluated. The first four fields act in :meth:`evaluate`; the others are for people.

    A protocol of your own needs only the regions. An unknown region, none at all, or an unknown reading
    of empty levels is a ValueError.

    Attributes:
        regions: What is reported, the headline first.
        apply_trimap: The prediction is taken as 0 and 1 where the trimap is sure.
        eight_bit: Mattes are rounded to 8 bits before they are compared, as most that are written to files are.
        empty: Which reading of Conn's empty levels; see :func:`~mattekit.metrics.connectivity_error`.
        trimaps: Where the trimaps come from.
        resizing: At which size mattes are compared. :meth:`evaluate` never resizes.
        source: The code or text that this is taken from.
        left_open: What that source leaves open, or does differently.
    """

    regions: tuple[Region, ...]
    apply_trimap: bool = False
    eight_bit: bool = False
    empty: Empty = "exclude"
    trimaps: str = ""
    resizing: str = ""
    source: str = ""
    left_open: str = ""

    def __post_init__(self) -> None:
        if not self.regions or isinstance(self.regions, str):
            raise ValueError(f"regions must be a tuple of at least one of {', '.join(REGIONS)}, got {self.regions!r}")
        for region in self.regions:
            check_choice("each of regions", region, REGIONS)
        check_choice("empty", self.empty, EMPTY)

    def evaluate(
        self, pred: Matte, alpha: Matte, trimap: Matte | None = None, *, check_trimap: bool = True
    ) -> dict[Region, Scores]:
        """The five metrics in each region of the protocol.

        Args:
            pred: Predicted alpha, a tensor (N, 1, H, W) or a NumPy array (H, W): floats in [0, 1], or integers in
                0..255. It must have the size at which the protocol compares.
            alpha: Ground-truth alpha, like `pred`; the dtype may differ.
            trimap: uint8, of the same shape: 0 background, 128 unknown, 255 foreground.
            check_trimap: Refuse a trimap with other values; False is the reference's rule, to which 128 alone is
                unknown.

        Returns:
            Scores by region, in the protocol's order. Without a trimap, the regions that need one are left out.

        Raises:
            TypeError: As the metrics do.
            ValueError: As the metrics do, or if there is no trimap and every region needs one.

        Source:
            :attr:`source`.

        Example:
            >>> import numpy as np
            >>> scores = PROTOCOLS["aim-500"].evaluate(np.full((10, 10), 0.5), np.ones((10, 10)))
            >>> scores["whole"].mse
            0.25
        """
        return {
            region: evaluate(
                pred,
                alpha,
                trimap,
                region=region,
                apply_trimap=self.apply_trimap,
                check_trimap=check_trimap,
                eight_bit=self.eight_bit,
                empty=self.empty,
            )
            for region in self.regions_with(trimap=trimap is not None)
        }

    def regions_with(self, *, trimap: bool) -> tuple[Region, ...]:
        """The regions that can be evaluated with or without a trimap; ValueError if there are none."""
        regions: tuple[Region, ...] = self.regions if trimap else tuple(r for r in self.regions if r == "whole")
        if not regions or (self.apply_trimap and not trimap):
            raise ValueError(f"this protocol needs a trimap, got None: it counts {' and '.join(self.regions)}")
        return regions


_AIM_LEFT_OPEN = (
    "The authors' scripts compare unrounded predictions with 8-bit ground truth, and their Grad is another one (a "
    "Gaussian of radius 6, reflected borders, no stretching of the range, the sum divided by 10 instead of 1000): only "
    "SAD, MSE, MAD and, to about 1 %, Conn compare with their tables. For the unknown region they take the prediction "
    "as 0 and 1 where the trimap is sure, which changes nothing there but for Grad and Conn, which they do not report."
)

PROTOCOLS: dict[str, BenchmarkProtocol] = {
    "composition-1k": BenchmarkProtocol(
        regions=("unknown",),
        apply_trimap=True,
        eight_bit=True,
        empty="exclude",
        trimaps="come with the test set",
        resizing="the ground truth's size",
        source="Xu et al., Deep Image Matting, CVPR 2017; its MATLAB evaluation code as in GCA-Matting",
        left_open=(
            "The code leaves to the caller whether predictions are overwritten in the known regions, and whether they "
            "were rounded or truncated to 8 bits. Papers on trimap-free networks, PP-Matting among them, do not say "
            "whether they count the unknown region or the whole image."
        ),
    ),
    "distinctions-646": BenchmarkProtocol(
        regions=("unknown", "whole"),
        apply_trimap=False,
        eight_bit=True,
        empty="exclude",
        trimaps="the test set has none; followers make them from the ground truth (ViTMatte: random sizes, 1 to 30)",
        resizing="the ground truth's size",
        source="Qiao et al., HAttMatting, CVPR 2020",
        left_open=(
            "Which pixels count: a question about it in the authors' repository (issue 11) has no answer. Numbers of "
            "different papers compare only if they used the same trimaps."
        ),
    ),
    "aim-500": BenchmarkProtocol(
        regions=("whole", "unknown", "foreground", "background"),
        apply_trimap=False,
        eight_bit=False,
        empty="skip",
        trimaps="come with the test set",
        resizing="the ground truth's size; the network's output is resized to it before anything else",
        source="Li et al., Deep Automatic Natural Image Matting, IJCAI 2021; core/evaluate.py of JizhiziLi/AIM",
        left_open=_AIM_LEFT_OPEN,
    ),
    "p3m-500": BenchmarkProtocol(
        regions=("whole", "unknown", "foreground", "background"),
        apply_trimap=False,
        eight_bit=False,
        empty="skip",
        trimaps="come with the test sets",
        resizing="the ground truth's size; the network's output is resized to it before anything else",
        source="Li et al., Privacy-Preserving Portrait Matting, ACM MM 2021; evaluation code of the AIM family",
        left_open=_AIM_LEFT_OPEN,
    ),
    "am-2k": BenchmarkProtocol(
        regions=("whole", "unknown", "foreground", "background"),
        apply_trimap=False,
        eight_bit=False,
        empty="skip",
        trimaps="come with the test set",
        resizing="the ground truth's size; the network's output is resized to it before anything else",
        source="Li et al., Bridging Composite and Real, IJCV 2022; core/evaluate.py of JizhiziLi/GFM",
        left_open=_AIM_LEFT_OPEN,
    ),
    "ppm-aim-195": BenchmarkProtocol(
        regions=("whole",),
        apply_trimap=False,
        eight_bit=True,
        empty="exclude",
        trimaps="none",
        resizing="the photo's size; PaddleSeg brings the network's output back to it, bilinearly",
        source="PaddleSeg, Matting/ppmatting/core/val.py and metrics/metric.py: PPM-100 and the 95 people of AIM-500",
        left_open=(
            "PaddleSeg's reading of it, not a paper's. It breaks ties in Conn row by row. For networks that want a "
            "trimap its tables count the unknown region of one made by 25 pixels of dilation."
        ),
    ),
}
