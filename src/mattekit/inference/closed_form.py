"""Closed-form matting that begins with a matte: hair that a network blurs is drawn by the photo's colours."""

from numbers import Integral

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from torch import Tensor

from mattekit import trimap as trimaps
from mattekit._checks import check_nonnegative, check_number, check_positive
from mattekit.inference.pixels import check_arrays, check_dtypes, check_unit_arrays

RADIUS = 0.02
CONFIDENCE = 0.02
EPS = 1e-6
LEAST_CONFIDENCE, MOST_CONFIDENCE = 1e-4, 1e6  # beyond these one of the two costs is lost in float32's rounding
LEAST_EPS = 1e-12  # of a grey photo the covariance is singular but for eps
SURE = 0.05
HAZE = 0.03
TOLERANCE, MOST_STEPS = 1e-5, 5_000
WINDOWS = 2**13  # worked on at a time, so that their products stay in the cache
WINDOW = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
NEIGHBOURS = np.array([(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)])
OWN = 12  # the place of a pixel among its own neighbours
SLOTS = (WINDOW[None] - WINDOW[:, None] + 2) @ [5, 1]  # where a window's pixel stands among another's neighbours


def refine_alpha(
    alpha: np.ndarray,
    image: np.ndarray,
    *,
    trimap: np.ndarray | None = None,
    radius: int | None = None,
    confidence: float = CONFIDENCE,
    eps: float = EPS,
    haze: float = HAZE,
) -> np.ndarray:
    """Draw a matte's transition anew by the photo's own colours, close to the matte.

    Closed-form matting asks that in each window of 3×3 pixels the matte be an affine function of the colours. Here this
    is asked in the transition alone, and each pixel of it pays for what it departs from the matte that is given. The
    network says where the subject ends, and closed form draws each hair there.

    Args:
        alpha: The matte, (H, W) floating-point in [0, 1], of any network.
        image: The photo, (H, W, 3): uint8, uint16, or floating-point in [0, 1].
        trimap: Where the matte may change, (H, W) uint8 of 0, 128 and 255: in the unknown region. What is known comes
            out as 0 and 1. None: it may change near its own transition.
        radius: How far that reaches into either side, in pixels, from 0 up. None: 2 % of the photo's short side.
        confidence: What it costs to depart from ``alpha``, in [1e-4, 1e6]: the larger, the closer the result is to it.
        eps: Nine times what is added to the colours' variances in a window, in units of [0, 1] squared, from 1e-12 up:
            the larger, the smoother.
        haze: What closed form brings this close to 0 or 1 comes out as 0 or 1, and what lies between is stretched; from
            0 to less than 0.5. Where colours are alike on both sides of an edge it leaves a faint haze, which goes so.

    Returns:
        The matte, (H, W) float32 in [0, 1]. Beyond the transition it is ``alpha``.

    Raises:
        TypeError: If one is no array, or a masked one, or has another dtype, or an option is no number.
        ValueError: If shapes do not fit, an array is empty, one of floats leaves [0, 1], ``trimap`` holds other values,
            both ``trimap`` and ``radius`` are given, or an option is out of its range.
        RuntimeError: If the system's solver does not come to an end.

    Source:
        Levin, Lischinski and Weiss 2006, "A closed-form solution to natural image matting", equation 12, the matting
        Laplacian; Gastal and Oliveira 2010, "Shared sampling for real-time alpha matting", which ends with it and a
        cost for departing from a first matte.

    Example:
        >>> import numpy as np
        >>> from mattekit.inference import refine_alpha
        >>> photo = np.zeros((40, 60, 3), np.uint8)
        >>> photo[:, 33:] = 255
        >>> alpha = np.zeros((40, 60), np.float32)
        >>> alpha[:, 30:] = 1  # the edge is three pixels off
        >>> refine_alpha(alpha, photo, radius=6)[20, 29:37].round(1)
        array([0., 0., 0., 0., 1., 1., 1., 1.], dtype=float32)
    """
    _check_arrays(alpha, image, trimap)
    if trimap is not None and radius is not None:
        raise ValueError("give trimap or radius, got both")
    _check_options(radius, confidence, eps, haze)
    if trimap is None:
        refined = alpha.astype(np.float32).clip(0, 1)
        unknown = _transition(alpha, round(RADIUS * min(alpha.shape)) if radius is None else radius)
    else:
        refined = trimaps.apply(alpha.astype(np.float32), trimap)
        unknown = trimaps.unknown_mask(trimap)
    if unknown.any():
        solved = _solved(refined, image, unknown, float(confidence), float(eps))
        refined[unknown] = ((solved - float(haze)) / (1 - 2 * float(haze))).clip(0, 1)
    return refined


def _transition(alpha: np.ndarray, radius: int) -> np.ndarray:
    """Where a matte is neither surely 0 nor surely 1, or goes from one to the other, and a band around it."""
    rounded = np.select([alpha <= SURE, alpha >= 1 - SURE], [np.float32(0), np.float32(1)], alpha.astype(np.float32))
    return trimaps.from_alpha(rounded, width=radius, kernel="square") == trimaps.UNKNOWN


def _solved(alpha: np.ndarray, image: np.ndarray, unknown: np.ndarray, confidence: float, eps: float) -> np.ndarray:
    """The unknown pixels' alpha: (L + confidence) x = confidence · alpha there, given the others'."""
    pixels = np.flatnonzero(unknown).astype(np.int32)
    place = np.full(alpha.size, -1, np.int32)
    place[pixels] = np.arange(len(pixels), dtype=np.int32)
    laplacian = _laplacian(image, unknown, place, eps)
    first, flat = alpha[unknown], alpha.reshape(-1)
    target = confidence * first

    steps = (NEIGHBOURS @ [alpha.shape[1], 1]).astype(np.int32)
    columns = np.empty_like(laplacian, dtype=np.int32)
    for slot, step in enumerate(steps):  # one by one, as NumPy makes indices of 64 bits of them
        columns[:, slot] = place.take(pixels + step, mode="clip")  # what lies beyond the photo weighs nothing
    row, slot = np.nonzero(columns < 0)
    known = flat.take(pixels[row] + steps[slot], mode="clip")
    target -= np.bincount(row, laplacian[row, slot] * known, len(pixels))
    laplacian[row, slot], columns[row, slot] = 0, row
    laplacian[:, OWN] += confidence
    index = np.int32 if laplacian.size < 2**31 else np.int64  # SciPy brings all indices to the widest
    ends = np.arange(0, laplacian.size + 1, len(NEIGHBOURS), dtype=index)
    system = sparse.csr_array((laplacian.reshape(-1), columns.reshape(-1), ends), shape=(len(pixels),) * 2)

    conditioner = sparse.diags_array(1 / laplacian[:, OWN])
    solution, failed = cg(system, target, x0=first, rtol=TOLERANCE, maxiter=MOST_STEPS, M=conditioner)
    if failed:
        raise RuntimeError(
            f"closed form did not come to an end in {MOST_STEPS} steps: give a larger confidence or eps, "
            f"got {confidence} and {eps}"
        )
    return solution


def _laplacian(image: np.ndarray, unknown: np.ndarray, place: np.ndarray, eps: float) -> np.ndarray:
    """The rows of the matting Laplacian that belong to unknown pixels, each by its `NEIGHBOURS`: (N, 25) float32."""
    count = len(NEIGHBOURS)
    centres = cv2.dilate(unknown.view(np.uint8), np.ones((3, 3), np.uint8))
    centres[[0, -1]] = centres[:, [0, -1]] = 0  # no window reaches beyond the photo
    centres = np.flatnonzero(centres)
    size = int(unknown.sum()) + 1, count  # the last row takes what belongs to known pixels
    rows = torch.zeros(size, dtype=torch.float32, device="cpu")
    colours = image.reshape(-1, 3)
    most = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    for start in range(0, len(centres), WINDOWS):
        window = centres[start : start + WINDOWS, None] + WINDOW @ [unknown.shape[1], 1]
        at = place[window].astype(np.int64)
        at[at < 0] = len(rows) - 1
        slots = torch.from_numpy(count * at[:, :, None] + SLOTS)
        terms = _terms(torch.from_numpy(colours[window].astype(np.float64) / most), eps)
        rows.view(-1).index_add_(0, slots.view(-1), terms.float().view(-1))
    return rows[:-1].numpy()


def _terms(colours: Tensor, eps: float) -> Tensor:
    """What windows of colours, (M, 9, 3), add to the Laplacian, (M, 9, 9)."""
    count, alike = colours.shape[1], {"dtype": colours.dtype, "device": colours.device}
    colours = colours - colours.mean(1, keepdim=True)
    covariance = colours.mT @ colours / count + eps / count * torch.eye(3, **alike)
    return torch.eye(count, **alike) - (1 + colours @ torch.linalg.inv(covariance) @ colours.mT) / count


def _check_arrays(alpha: np.ndarray, image: np.ndarray, trimap: np.ndarray | None) -> None:
    check_arrays(alpha=alpha, image=image)
    check_dtypes(alpha, image)
    if alpha.ndim != 2 or not alpha.size:
        raise ValueError(f"alpha must have shape (H, W), and pixels, got shape {alpha.shape}")
    if image.shape != (*alpha.shape, 3):
        raise ValueError(f"image must have alpha's height and width, in shape {(*alpha.shape, 3)}, got {image.shape}")
    if trimap is not None:
        check_arrays(trimap=trimap)
        if trimap.shape != alpha.shape:
            raise ValueError(f"trimap must have alpha's shape, {alpha.shape}, got {trimap.shape}")
    check_unit_arrays(alpha=alpha, image=image)


def _check_options(radius: int | None, confidence: float, eps: float, haze: float) -> None:
    if radius is not None:
        check_number("radius", radius, Integral)
        if radius < 0:
            raise ValueError(f"radius must be at least 0, got {radius}")
    check_positive("confidence", confidence)
    if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        raise ValueError(f"confidence must lie in [{LEAST_CONFIDENCE:g}, {MOST_CONFIDENCE:g}], got {confidence!r}")
    check_positive("eps", eps)
    if eps < LEAST_EPS:
        raise ValueError(f"eps must be at least {LEAST_EPS:g}, got {eps!r}")
    check_nonnegative("haze", haze)
    if not haze < 0.5:
        raise ValueError(f"haze must be less than 0.5, got {haze!r}")
