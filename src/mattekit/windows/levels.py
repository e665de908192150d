"""Features that are computed where they are asked for, in pieces as large as is good.

A *level* is a step of a network at one resolution: it brings its inputs to that resolution and makes one feature of
them, and it is known how many pixels around a pixel it sees. From a window of the last level it follows which part of
each level before it is needed. `compute_levels` finds these parts, from the last level to the first, and then computes
them, from the first to the last.

Each part is computed in tiles. At full resolution one feature of 64 channels is 67 MB for an image of 512². Tensors of
that size come fresh from the system, page by page, each time, and pass through memory on the way to the next layer: on
a CPU that costs more than the arithmetic. A tile stays in the cache.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple, TypeGuard

from torch import Tensor, nn

from mattekit.windows.declarations import halo
from mattekit.windows.resizing import needed, resize_bilinear, resize_part
from mattekit.windows.spans import (
    Size,
    Spans,
    Window,
    assembled,
    both,
    coarser,
    cropped,
    cut,
    over,
    spans_of,
    surroundings,
    tiles_of,
    union,
)


class Level:
    """A feature, (N, C, height, width), that is computed where it is asked for.

    Args:
        inputs: Tensors, (N, C, h, w), or levels, that the feature is made of.
        size: Its height and width.
        function: Takes the inputs, all of one height and width, and returns the feature there. None: it is the only
            input itself, resized.
        halo: How many pixels of its input ``function`` sees beyond a pixel of its result, or the module that says so
            (`mattekit.windows.halo`). None: that is not known; the feature is computed on the whole.
        stride: How many pixels of the inputs one of the feature spans; they must be of one size then, and are not
            resized. None: they are resized to ``size``, or to as much of it as ``upscale`` says.
        upscale: How many pixels of the feature, along each side, one pixel of the resized inputs makes. Their size is
            rounded up, and what ``function`` makes beyond ``size`` is cut off.
        channels: Channels of the widest feature within, for a pixel of the inputs. None: those of the inputs.
    """

    def __init__(
        self,
        inputs: Sequence["Tensor | Level"],
        size: Sequence[int],
        function: Callable[..., Tensor] | None = None,
        *,
        halo: int | nn.Module | None = 0,
        stride: int | None = None,
        upscale: int = 1,
        channels: int | None = None,
    ) -> None:
        height, width = size
        self.inputs: tuple[Tensor | Level, ...] = tuple(inputs)
        self.size = height, width
        self.function = function
        self.stride = stride
        self.upscale = upscale
        self.channels = channels
        self._halo = halo
        self._value: Tensor | None = None

    @cached_property
    def halo(self) -> int | None:
        """How many pixels of its input the feature's function sees beyond a pixel of its result.

        It is asked for only where a part of the feature is computed: to find it takes as long as a small convolution.
        """
        if isinstance(self._halo, nn.Module):
            return halo(self._halo)
        return self._halo

    @property
    def known(self) -> bool:
        """Whether the whole feature has been computed."""
        return self._value is not None

    def whole(self, tile_bytes: int | None = None) -> Tensor:
        """Return the whole feature, and keep it from now on."""
        if self._value is None:
            if tile_bytes is None:
                inputs = [x.whole() if isinstance(x, Level) else x for x in self.inputs]
                if self.stride is None:
                    inputs = [resize_bilinear(x, coarser(self.size, self.upscale)) for x in inputs]
                value = self._made(inputs)
                self.keep(value if self.upscale == 1 else cropped(value, self.size))
            else:
                self.keep(compute_levels([self], tile_bytes=tile_bytes)[0])
        assert self._value is not None
        return self._value

    def keep(self, value: Tensor) -> None:
        """Let ``value`` be the whole feature, and let go of what it is made of."""
        self._value, self.inputs = value, ()

    @property
    def sources(self) -> list[tuple["Tensor | Level", Size]]:
        """What the feature is made of, and to which size each is brought; resizes among the inputs count as this."""
        if self.stride is None:
            return [(x, coarser(self.size, self.upscale)) for x in self.inputs]
        return [(x.inputs[0], x.size) if _is_resize(x) else (x, size_of(x)) for x in self.inputs]

    def needs(self, spans: Spans) -> list[Spans]:
        """Which part of each of its `sources` ``spans`` of the feature are made of."""
        around = self._around(spans)
        return [both(needed, around, size, size_of(x)) for x, size in self.sources]

    def compute(self, spans: Spans, parts: Sequence["_Part"], tile_bytes: int | None) -> Tensor:
        """Return ``spans`` of the feature, given the parts of its `sources` that it `needs`."""
        sizes = [size for _, size in self.sources]

        def on(tile: Spans) -> list[Tensor]:
            around = self._around(tile)
            inputs = [resize_part(*part, size, around) for part, size in zip(parts, sizes, strict=True)]
            return [self._inner(self._made(inputs), around, tile)]

        tiles = [spans]
        if tile_bytes is not None:
            channels = self.channels or sum(part.x.shape[1] for part in parts)
            stride, upscale = self.stride or 1, self.upscale
            seen = tile_bytes // max(channels * parts[0].x.shape[0] * parts[0].x.element_size(), 1)
            pixels = seen * upscale**2 // stride**2
            if len(spans[0]) * len(spans[1]) > pixels and self.halo is not None:
                tiles = tiles_of(spans, pixels, at_least=4 * self.halo * upscale // stride)
        return assembled(on, tiles, spans, (1,))[0]

    def takes_all(self, spans: Spans) -> bool:
        """Whether ``spans`` of the feature take all of its inputs: they are all of it, or its halo is not known."""
        return spans == spans_of(None, self.size) or self.halo is None

    def _around(self, spans: Spans) -> Spans:
        """What a part of the feature is made of, at the resolution of the inputs once they are resized."""
        whole = self.sources[0][1]
        if self.takes_all(spans):
            return spans_of(None, whole)
        assert self.halo is not None
        spans = both(over, spans, (self.upscale, self.upscale))
        return both(surroundings, spans, whole, (self.halo, self.halo), (self.stride or 1, self.stride or 1))

    def _made(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0] if self.function is None else self.function(*inputs)

    def _inner(self, result: Tensor, around: Spans, tile: Spans) -> Tensor:
        """A tile, of what the function made of its surroundings."""
        stride, upscale = self.stride or 1, self.upscale
        rows, columns = (range(span.start // stride * upscale, -(-span.stop // stride) * upscale) for span in around)
        if result.shape[-2:] != (len(rows), len(columns)):
            name = type(self._halo).__name__ if isinstance(self._halo, nn.Module) else "the function of a level"
            raise RuntimeError(
                f"{name} must return height and width {(len(rows), len(columns))}, got {tuple(result.shape[-2:])}"
            )
        return cut(result, (rows, columns), tile)


def _is_resize(x: "Tensor | Level") -> TypeGuard[Level]:
    return isinstance(x, Level) and x.function is None and not x.known


def through(x: Tensor | Level, module: nn.Module) -> Level:
    """Return the level of what a module makes of a feature.

    A 1×1 convolution may change places with a bilinear resize, whose weights sum to one: it comes first then.

    Args:
        x: The feature, (N, C, H, W).
        module: The module.

    Returns:
        The level.

    Example:
        >>> import torch
        >>> from mattekit.windows import Level, through
        >>> half = Level([torch.rand(1, 8, 4, 4)], (8, 8))
        >>> through(half, torch.nn.Conv2d(8, 1, 1)).whole().shape
        torch.Size([1, 1, 8, 8])
    """
    if _is_resize(x) and type(module) is nn.Conv2d and halo(module) == 0:
        source = x.inputs[0]
        return Level([Level([source], size_of(source), module)], x.size)
    return Level([x], size_of(x), module, halo=module)


class _Part(NamedTuple):
    """A part of a feature, where it lies, and the size of the whole."""

    x: Tensor
    at: Spans
    size: Sequence[int]


def compute_levels(
    levels: Iterable[Level], window: Window | None = None, *, tile_bytes: int | None = None
) -> list[Tensor]:
    """Compute levels on a window of them.

    Args:
        levels: What to compute; with a window all of one size.
        window: Which part. None: the whole of each.
        tile_bytes: How large the widest feature of a tile may be, in bytes. None: not in tiles.

    Returns:
        The part of each level.

    Raises:
        ValueError: If the window is not within the levels.

    Example:
        >>> import torch
        >>> from mattekit.blocks import ConvBNReLU
        >>> from mattekit.windows import Level, Window, compute_levels
        >>> block = ConvBNReLU(3, 8).eval()
        >>> level = Level([torch.rand(1, 3, 16, 16)], (64, 64), block, halo=block)
        >>> (part,) = compute_levels([level], Window(top=10, left=20, height=30, width=44))
        >>> torch.allclose(part, level.whole()[:, :, 10:40, 20:64], atol=1e-6)
        True
    """
    levels = list(levels)
    if window is None and tile_bytes is None:
        return [level.whole() for level in levels]
    asked = [spans_of(window, level.size) for level in levels]
    order = in_order(levels)
    wanted: dict[Level, Spans] = {}

    def want(level: Level, spans: Spans) -> None:
        before = wanted.get(level, spans)
        wanted[level] = both(union, before, spans)

    for level, spans in zip(levels, asked, strict=True):
        want(level, spans)
    for level in reversed(order):
        if not level.known:
            if level.takes_all(wanted[level]):
                wanted[level] = spans_of(None, level.size)
            for (x, _), spans in zip(level.sources, level.needs(wanted[level]), strict=True):
                if isinstance(x, Level):
                    want(x, spans)

    made_of = {level: [x for x, _ in level.sources] for level in order}
    left = {level: sum(level is x for inputs in made_of.values() for x in inputs) for level in order}
    for level in levels:
        left[level] += 1
    parts: dict[Level, _Part] = {}
    for level in order:
        inputs = made_of[level]
        if level.known:
            parts[level] = _part_of(level.whole())
        else:
            given = [parts[x] if isinstance(x, Level) else _part_of(x) for x in inputs]
            x = level.compute(wanted[level], given, tile_bytes)
            parts[level] = _Part(x, wanted[level], level.size)
            if window is not None and level.halo is None:
                level.keep(x)  # the next window will ask for it again
            del given, x
        for x in inputs:
            if isinstance(x, Level):
                left[x] -= 1
                if not left[x]:
                    del parts[x]
    return [cut(parts[level].x, parts[level].at, spans) for level, spans in zip(levels, asked, strict=True)]


def in_order(levels: Iterable[Level]) -> list[Level]:
    """Return levels and all that they are made of, each after its inputs.

    Args:
        levels: The levels.

    Returns:
        The levels, and those that they are made of.

    Example:
        >>> import torch
        >>> from mattekit.windows import Level, in_order
        >>> first = Level([torch.rand(1, 1, 2, 2)], (4, 4))
        >>> in_order([Level([first], (8, 8))])[0] is first
        True
    """
    order: dict[Level, None] = {}

    def visit(level: Level) -> None:
        if level not in order:
            for x, _ in level.sources:
                if isinstance(x, Level):
                    visit(x)
            order[level] = None

    for level in levels:
        visit(level)
    return list(order)


def size_of(x: Tensor | Level) -> Size:
    """Height and width.

    Args:
        x: A tensor, (N, C, H, W), or a level.

    Returns:
        (H, W), in pixels.

    Example:
        >>> import torch
        >>> from mattekit.windows import size_of
        >>> size_of(torch.rand(1, 3, 4, 6))
        (4, 6)
    """
    if isinstance(x, Level):
        return x.size
    return x.shape[-2], x.shape[-1]


def _part_of(x: Tensor) -> _Part:
    return _Part(x, (range(x.shape[-2]), range(x.shape[-1])), size_of(x))
