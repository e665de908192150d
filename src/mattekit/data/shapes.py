"""What synthetic foregrounds show, a function each: hair, fur, lace, leaves, smoke, glass and things in motion."""

from collections.abc import Callable

import numpy as np

from mattekit.data.canvas import CIRCLE, Canvas, bezier, direction
from mattekit.data.textures import fractal

Shape = Callable[[np.random.Generator, int], np.ndarray]
"""From a generator and a size to coverage, shade and tint, (size, size, 3) uint8."""

Colour = tuple[int, int, int]


def hair(rng: np.random.Generator, size: int) -> np.ndarray:
    """A head and shoulders with long, loose hair."""
    canvas = Canvas(size)
    centre = np.array([0.5, 0.42]) + rng.uniform(-0.06, 0.06, 2)
    radii = np.array([rng.uniform(0.12, 0.16), rng.uniform(0.16, 0.2)])
    length, curl = rng.uniform(0.1, 0.42), rng.uniform(0.02, 0.12)

    def strands(count: int, spread: float, widths: tuple[float, float]) -> None:
        angle = np.pi * (1.5 + rng.uniform(-spread, spread, count))  # 1.5 π is straight up
        outward = direction(angle)
        root = centre + outward * radii * rng.uniform(0.8, 1, (count, 1))
        side = np.stack([outward[:, 0] + rng.normal(0, 0.25, count), np.full(count, 0.25)], -1)
        reach = length * rng.uniform(0.4, 1.1, (count, 1))
        middle = root + outward * radii * rng.uniform(0.3, 0.9, (count, 1)) + rng.normal(0, curl / 2, (count, 2))
        end = root + side * reach * 0.6 + np.array([0, 0.9]) * reach + rng.normal(0, curl, (count, 2))
        _by_shade(canvas, rng, bezier(root, middle, end), widths, tint=255)

    canvas.disc(np.array([centre[0], 1.12]), np.array([0.36, 0.36]), 150, 90)  # shoulders
    strands(420, 0.62, (0.3, 1.3))
    canvas.polygon(_box(centre + np.array([0, radii[1] * 1.2]), radii[0] * 0.45, 0.16), 190, 0)  # neck
    canvas.disc(centre, radii, 235, 0)  # face
    cap = CIRCLE[48:]  # the upper half
    canvas.polygon(centre + np.concatenate([cap * radii * 1.06, cap[::-1] * radii * [0.98, 0.45]]), 150, 255)
    strands(220, 0.42, (0.3, 1.2))
    return canvas.finish()


def fur(rng: np.random.Generator, size: int) -> np.ndarray:
    """An animal of fur: body, head and ears, with hairs all over and along the outline."""
    canvas = Canvas(size)
    body = np.array([0.5, 0.68]) + rng.uniform(-0.05, 0.05, 2)
    head = body + np.array([rng.uniform(-0.12, 0.12), -rng.uniform(0.25, 0.32)])
    spread = rng.uniform(0.07, 0.11)
    parts = [(body, np.array([rng.uniform(0.2, 0.28), rng.uniform(0.2, 0.26)]))]
    parts += [(head + np.array([way * spread, -0.14]), np.array([0.04, rng.uniform(0.05, 0.1)])) for way in (-1, 1)]
    parts += [(head, np.array([rng.uniform(0.14, 0.17), rng.uniform(0.12, 0.15)]))]
    length, width = rng.uniform(0.025, 0.06), rng.uniform(0.3, 0.9)
    for place, (centre, radii) in enumerate(parts):
        canvas.disc(centre, radii, 140, 255 * (place % 2))
        count = int(1400 * radii.max())
        for inner in (0.35, 0.7, 0.95):  # from the middle outwards, hairs lie over one another like tiles
            angle = rng.uniform(0, 2 * np.pi, count)
            outward = direction(angle)
            root = centre + outward * radii * np.sqrt(rng.uniform(max(inner - 0.35, 0) ** 2, inner**2, (count, 1)))
            lean = outward + np.array([0, 0.5]) + rng.normal(0, 0.25, (count, 2))
            middle = root + lean * length * 0.5
            end = root + (lean + np.array([0, 0.4])) * length * rng.uniform(0.6, 1.3, (count, 1))
            _by_shade(canvas, rng, bezier(root, middle, end, 4), (width, width), tint=int(rng.integers(256)))
    for way in (-1, 1):
        canvas.disc(head + np.array([way * 0.055, -0.01]), 0.017, 25, 0)
    canvas.disc(head + np.array([0, 0.055]), np.array([0.024, 0.016]), 30, 0)
    for way in (-1, 1):  # whiskers
        start = head + np.array([way * 0.03, 0.06]) + rng.normal(0, 0.006, (5, 2))
        end = start + np.stack([way * rng.uniform(0.15, 0.24, 5), rng.uniform(-0.05, 0.06, 5)], -1)
        canvas.strokes(bezier(start, (start + end) / 2 - [0, 0.02], end), 0.5, 255, 0)
    return canvas.finish()


def lace(rng: np.random.Generator, size: int) -> np.ndarray:
    """A doily: rings of holes in a round cloth, crossed by threads."""
    canvas = Canvas(size)
    centre, radius = np.array([0.5, 0.5]) + rng.uniform(-0.05, 0.05, 2), rng.uniform(0.36, 0.45)
    petals = int(rng.integers(12, 25))
    turn = rng.uniform(0, 2 * np.pi)

    def ring(count: int, at: float, size: float, alpha: int, shade: int, tint: int = 0) -> None:
        for angle in turn + np.arange(count) * (2 * np.pi / count):
            canvas.disc(centre + direction(angle) * at * radius, size * radius, shade, tint, alpha=alpha)

    ring(petals, 0.88, 2.6 / petals, 255, 225, 90)
    canvas.disc(centre, radius * 0.9, 245, 0)
    ring(petals, 0.9, 1.5 / petals, 0, 245)
    at, rows = 0.8 - 1.5 / petals, []
    while at > 0.16:
        count = max(6, round(at * petals * rng.uniform(0.9, 1.6)))
        hole = min(2.2 * at / count, 0.11)
        ring(count, at, hole, 0, 235)
        rows.append((count, at, hole))
        at -= hole * 2 + rng.uniform(0.03, 0.06)
    for count, place, hole in rows:
        angles = turn + np.arange(count) * (2 * np.pi / count)
        out = direction(angles) * radius
        along = np.stack([-out[:, 1], out[:, 0]], -1)
        if rng.random() < 0.7:  # crosses of thread in the holes
            canvas.strokes(np.stack([out * (place - hole), out * (place + hole)], 1) + centre, 0.7, 235)
            canvas.strokes(np.stack([out * place - along * hole, out * place + along * hole], 1) + centre, 0.7, 235)
    return canvas.finish()


def leaves(rng: np.random.Generator, size: int) -> np.ndarray:
    """A branch with twigs and leaves, and gaps between them."""
    canvas = Canvas(size)
    start = np.array([[rng.uniform(0.1, 0.5), 1.05]])
    end = np.array([[rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.15)]])
    branch = bezier(start, (start + end) / 2 + rng.normal(0, 0.12, 2), end, 40)
    count = int(rng.integers(9, 16))
    long, wide = rng.uniform(0.08, 0.17), rng.uniform(0.18, 0.42)
    canvas.strokes(branch, 5, 110, 255)
    for twig in range(count):
        root = branch[0, 4 + twig * 34 // count]
        way = 1 if twig % 2 else -1
        reach = rng.uniform(0.12, 0.34) * (1 - 0.4 * twig / count)
        tip = root + reach * np.array([way * rng.uniform(0.7, 1), -rng.uniform(0.1, 0.8)])
        curve = bezier(root[None], (root + tip)[None] / 2 + [0, 0.05], tip[None], 9)
        canvas.strokes(curve, 1.6, 120, 255)
        forward = tip - root
        sideways = np.repeat([-1, 1], 5) * rng.uniform(0.3, 1.2, 10)
        angles = np.arctan2(forward[1], forward[0]) + sideways
        _leaves(canvas, rng, curve[0, [3, 5, 6, 7, 8] * 2], angles, long * rng.uniform(0.6, 1.1, (10, 1)), wide)
    return canvas.finish()


def _leaves(
    canvas: Canvas, rng: np.random.Generator, roots: np.ndarray, angles: np.ndarray, lengths: np.ndarray, width: float
) -> None:
    """Pointed leaves with a vein, one half of each in the shade."""
    forward = direction(angles) * lengths
    across = np.stack([-forward[:, 1], forward[:, 0]], -1) * width
    tips = roots + forward
    one, other = (bezier(roots, (roots + tips) / 2 + way * across, tips) for way in (-1, 1))
    for left, right, light in zip(one, other, rng.integers(150, 256, len(roots)).tolist(), strict=True):
        canvas.polygon(left, light)
        canvas.polygon(right, light * 3 // 4)
        canvas.strokes(left[None, [0, -1]], 0.5, light // 2)


def smoke(rng: np.random.Generator, size: int) -> np.ndarray:
    """A soft cloud."""
    row, column = np.arange(size, dtype=np.int64)[:, None], np.arange(size, dtype=np.int64)
    fall = np.zeros((size, size), np.int64)
    for _ in range(int(rng.integers(2, 6))):
        middle = rng.integers(size * 3 // 10, size * 7 // 10 + 1, 2)
        radius = int(rng.integers(size // 5, size * 2 // 5 + 1))
        squared = (row - middle[0]) ** 2 + (column - middle[1]) ** 2
        np.maximum(fall, 255 - 255 * squared // (radius * radius), out=fall)
    noise = fractal(rng, size, coarsest=3, octaves=6).astype(np.int64)
    level = fall + noise - int(rng.integers(90, 170))
    alpha = np.clip(level * int(rng.integers(2, 6)) // 2, 0, 255) * np.clip(fall * 8, 0, 255) // 255
    return np.dstack([alpha, 140 + noise * 115 // 255, noise]).astype(np.uint8)


def glass(rng: np.random.Generator, size: int) -> np.ndarray:
    """A bottle, a wine glass or bubbles: clear in the middle, dense at the rim, with highlights."""
    canvas = Canvas(size)
    if rng.random() < 0.35:
        for _ in range(int(rng.integers(2, 8))):
            _bubble(canvas, rng, rng.uniform(0.15, 0.85, 2), rng.uniform(0.06, 0.24))
        return canvas.finish()
    heights, widths, bottom = _BOTTLE if rng.random() < 0.5 else _WINE_GLASS
    widths = widths * rng.uniform(0.85, 1.15)
    middle = 0.5 + rng.uniform(-0.08, 0.08)
    for inset in range(10):  # from the rim inwards, ever clearer
        narrow = np.maximum(widths - inset * 0.006, 0.004)
        left = np.stack([middle - narrow, heights + inset * 0.0015], -1)
        right = np.stack([middle + narrow, heights + inset * 0.0015], -1)
        canvas.polygon(np.concatenate([left, right[::-1]]), 150 + inset * 8, 0, alpha=max(220 - inset * 20, 60))
    if rng.random() < 0.7:  # with a drink in it
        filled = (heights > heights[0] + rng.uniform(0.1, 0.3)) & (heights <= bottom)
        inside = np.stack([middle - widths[filled] * 0.86, heights[filled]], -1)
        canvas.polygon(
            np.concatenate([inside, (inside * [-1, 1] + [2 * middle, 0])[::-1]]),
            210,
            255,
            alpha=int(rng.integers(120, 235)),
        )
    shine = np.stack([middle - widths[2:-3] * 0.7, heights[2:-3]], -1)
    canvas.strokes(shine[None], rng.uniform(1.5, 4), 255, 0, alpha=230)
    return canvas.finish()


# heights, half widths, and down to where a drink can stand
_BOTTLE = (
    np.array([0.06, 0.1, 0.11, 0.25, 0.32, 0.38, 0.45, 0.6, 0.75, 0.88, 0.93, 0.95]),
    np.array([0.05, 0.05, 0.04, 0.042, 0.06, 0.1, 0.125, 0.13, 0.13, 0.13, 0.125, 0.11]),
    0.95,
)
_WINE_GLASS = (
    np.array([0.08, 0.15, 0.22, 0.3, 0.38, 0.45, 0.5, 0.54, 0.58, 0.8, 0.87, 0.9, 0.92]),
    np.array([0.15, 0.17, 0.185, 0.19, 0.18, 0.15, 0.1, 0.04, 0.014, 0.012, 0.03, 0.12, 0.13]),
    0.54,
)


def _bubble(canvas: Canvas, rng: np.random.Generator, centre: np.ndarray, radius: float) -> None:
    for step in range(14):
        canvas.disc(centre, radius * (1 - step * 0.02), 255 - step * 4, step * 18, alpha=max(170 - step * 13, 18))
    canvas.disc(centre + radius * np.array([-0.4, -0.45]), radius * np.array([0.16, 0.1]), 255, 0, alpha=240)
    canvas.disc(centre + radius * np.array([0.45, 0.5]), radius * np.array([0.08, 0.05]), 255, 0, alpha=170)


def motion(rng: np.random.Generator, size: int) -> np.ndarray:
    """A star, a ball or a ring that moves while the shutter is open."""
    canvas = Canvas(size)
    centre, radius = rng.uniform(0.42, 0.58, 2), rng.uniform(0.2, 0.3)
    kind = rng.integers(3)
    if kind == 0:
        spikes = int(rng.integers(4, 9))
        angle = rng.uniform(0, 2 * np.pi) + np.arange(2 * spikes) * (np.pi / spikes)
        reach = np.where(np.arange(2 * spikes) % 2, rng.uniform(0.5, 0.75), 1.2)[:, None]
        canvas.polygon(centre + direction(angle) * reach * radius, 230, 0)
        canvas.polygon(centre + direction(angle) * reach * radius * 0.6, 255, 200)
    else:
        canvas.disc(centre, radius, 220, 0)
        for stripe in range(-2, 3):
            inside = centre + np.array([stripe * 0.4 * radius, 0])
            canvas.disc(inside, radius * np.array([0.09, 0.85 - 0.15 * abs(stripe)]), 240, 255)
        if kind == 2:
            canvas.disc(centre, radius * rng.uniform(0.4, 0.6), alpha=0)
    return _smear(canvas.finish(), rng, size)


def _smear(drawn: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """The mean of the drawing along a path; colours weigh by how much they cover."""
    steps = 24
    far = rng.uniform(0.08, 0.25) * size
    path = np.rint(direction(rng.uniform(0, 2 * np.pi)) * (np.arange(steps)[:, None] / (steps - 1) - 0.5) * far)
    drawn = drawn.astype(np.int32)
    drawn[..., 1:] *= drawn[..., :1]
    total = np.zeros_like(drawn)
    for x, y in path.astype(int):
        total += np.roll(drawn, (y, x), (0, 1))
    covered = total[..., :1]
    total[..., 1:] //= np.maximum(covered, 1)
    total[..., 0] = (total[..., 0] + steps // 2) // steps
    return total.astype(np.uint8)


_SKIN = ((236, 190, 160), (205, 150, 118), (150, 100, 72), (96, 62, 46))
_COATS = ((232, 220, 200), (190, 140, 90), (120, 84, 58), (140, 140, 145), (60, 56, 56), (222, 165, 100))
_HAIR = ((48, 36, 32), (98, 66, 44), (196, 158, 100), (160, 78, 44), (190, 186, 182), (30, 30, 36))
_CLOTH = ((250, 248, 244), (240, 228, 200), (200, 40, 60), (40, 40, 52), (120, 170, 210))
_WOOD = ((110, 78, 52), (86, 72, 60), (140, 110, 80))
_GREEN = ((90, 160, 60), (140, 180, 70), (60, 120, 90), (210, 150, 50), (190, 80, 50))
_AIR = ((245, 245, 248), (200, 204, 210), (90, 88, 92), (235, 150, 90), (150, 190, 240))
_CLEAR = ((250, 252, 255), (200, 235, 215), (235, 215, 180))
_DRINKS = ((150, 24, 50), (240, 190, 70), (120, 66, 30), (120, 190, 240), (250, 180, 220))
_TOYS = ((230, 60, 50), (250, 200, 60), (60, 130, 220), (245, 245, 240), (70, 170, 110), (140, 70, 170))
COLOURS: dict[Shape, tuple[tuple[Colour, ...], tuple[Colour, ...]]] = {
    hair: (_SKIN, _HAIR),
    fur: (_COATS, _COATS),
    lace: (_CLOTH, _CLOTH),
    leaves: (_GREEN, _WOOD),
    smoke: (_AIR, _AIR),
    glass: (_CLEAR, _DRINKS),
    motion: (_TOYS, _TOYS),
}
"""Two sets of colours for each shape: where its tint is 0, and where it is 255."""

SHAPES = tuple(COLOURS)


def _by_shade(
    canvas: Canvas, rng: np.random.Generator, curves: np.ndarray, widths: tuple[float, float], tint: int
) -> None:
    """Draw strokes in a few shades and widths, in turns, so that they lie over one another."""
    groups = 8
    for group in range(groups):
        canvas.strokes(curves[group::groups], rng.uniform(*widths), int(rng.integers(90, 256)), tint)


def _box(centre: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [half_width, half_height]
