"""A network made ready to predict fast: the same numbers, in less time."""

import copy
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mattekit._checks import check_choice, check_compiler
from mattekit.inference.activations import cpu_has_bfloat16, direct_pointwise, fuse_activations, runs_in_onednn
from mattekit.inference.folding import check_weights, fold_batch_norms, is_convolution
from mattekit.inference.shapes import SHAPES, CudaGraph, Run, ShapeCache, compiled
from mattekit.inference.windows import WINDOW_PIXELS, decode_in_windows, join
from mattekit.models import PPMatting, PPMattingOutput
from mattekit.models.pp_matting import Encoded, check_image
from mattekit.windows import Level, Window, declared, halo

Precision = Literal["float32", "bfloat16", "float16"]
TILE_BYTES = 24 << 20
"""Size of the widest feature of a tile: large enough for the halo not to weigh, and below the 32 MiB from which on
glibc takes memory afresh from the system."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def prepare(model: PPMatting, *, precision: Precision = "float32", compile: bool = False) -> "PreparedMatting":
    """Make a fast copy of a network, to predict with; the network itself is left alone.

    Batch normalisation goes into the convolutions, what nothing reads is not computed, and memory is laid out
    channels_last. On the CPU convolutions apply the ReLU that follows them, those of 1×1 call oneDNN themselves, high
    resolutions run in tiles that fit the cache, and large photos in windows. On a GPU a shape of image that comes again
    is recorded as a CUDA graph; the last four shapes are kept. ``print(prepared)`` says what was done. All this follows
    from what modules declare (`mattekit.windows`): a part that says nothing about itself runs as it is, on the whole
    photo.

    Prepare a network where it shall run, in evaluation mode, after its weights are in: the copy does not follow it. The
    copy is compared with the network on one small image, which runs hooks. If they differ because a module indexes into
    an ``nn.Sequential``, or the network cannot run on 64×64 pixels, nothing inside a Sequential is folded.

    Args:
        model: A `mattekit.models.PPMatting`, with encoder and branches of any kind; those of this library gain most.
        precision: ``"float32"`` gives the network's own numbers, to the rounding of float32. ``"bfloat16"`` computes
            convolutions in half the bits, for hardware that has it (GPUs from Ampere on, CPUs with AVX512-BF16 or
            AMX). ``"float16"``, on a GPU only, rounds eight times finer, but an activation past 65504 becomes
            infinite: where NaN come of it, `predict` raises an error, while a direct call returns them, under a matte
            that may look clean. Normalisation, sigmoid, argmax and fusion are in float32 always.
        compile: Have torch.compile join what lies between convolutions, for each shape of image that comes again. It
            takes minutes a shape and needs a compiler: Triton on a GPU, C++ on the CPU.

    Returns:
        A `PreparedMatting`, to be called as the network is, and to give to `predict` in its place.

    Raises:
        TypeError: If ``model`` is no `PPMatting`.
        ValueError: If ``model`` is in training mode, or ``precision`` is no such choice or not for the model's device.
        RuntimeError: If ``compile`` is set and there is no compiler; if what a module declares as ``folds`` gives other
            numbers; if a batch norm's variance is infinite, as a large one is in float16; or if a weight is on the meta
            device.

    Warns:
        UserWarning: If ``precision`` is ``"bfloat16"`` on a CPU that has no instructions for it.

    Source:
        Folding: Jacob et al. 2018, section 3.2. All rewrites are exact but for the rounding of sums. Of bfloat16, the
        effect on mattes is measured by ``pytest benchmarks/ -k precision``: on seeded weights and noise, SAD 0.32
        thousand an image, of mattes of 11.5 thousand; nearly all of it where two classes tie.

    Example:
        >>> import torch
        >>> from mattekit.inference import prepare
        >>> from mattekit.models import pp_matting
        >>> _ = torch.manual_seed(0)
        >>> model = pp_matting("hrnet_w18_small_v1").eval()
        >>> prepared = prepare(model)
        >>> print(prepared)
        PreparedMatting(
          float32, channels_last, on cpu
          102 batch norms folded into convolutions
          32 activations applied by the convolutions before them
          high resolutions computed in tiles that fit the cache, images one by one
        )
        >>> image = torch.rand(1, 3, 64, 96)
        >>> torch.allclose(prepared(image).detail, model(image).detail, atol=1e-4)
        True
    """
    if not isinstance(model, PPMatting):
        raise TypeError(f"model must be a PPMatting, got {type(model).__name__}")
    check_choice("precision", precision, _DTYPES)
    if any(module.training for module in model.modules()):
        raise ValueError(
            "model must be in evaluation mode, got one in training mode, whose batch norms use the statistics of each "
            "batch and cannot be folded; call model.eval() first"
        )
    device = model.mean.device
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision must be 'float32' or 'bfloat16' for a model on the CPU, got 'float16'")
    if precision == "bfloat16" and device.type == "cpu" and not cpu_has_bfloat16():
        warnings.warn(
            "this CPU has no instructions for bfloat16, in which the network will run several times slower than in "
            "float32: leave precision out",
            stacklevel=2,
        )
    if compile:
        check_compiler(device)
    check_weights(model)
    return PreparedMatting(model, _DTYPES[precision], compile=compile)


class PreparedMatting(nn.Module):
    """What `prepare` returns: called like the network, for prediction alone.

    Takes an image, (N, 3, H, W) RGB in [0, 1] with sides from 32 up, and returns a `PPMattingOutput` of float32,
    without gradients. It cannot be put into training mode.

    Args:
        model: As in `prepare`, which checks it.
        dtype: Of the convolutions.
        compile: As in `prepare`.

    Attributes:
        report: What was done, a line each.

    Example:
        >>> import torch
        >>> from mattekit.inference import prepare
        >>> from mattekit.models import pp_matting
        >>> prepared = prepare(pp_matting("hrnet_w18_small_v1").eval())
        >>> prepared(torch.rand(1, 3, 64, 96)).alpha.dtype
        torch.float32
    """

    def __init__(self, model: PPMatting, dtype: torch.dtype, *, compile: bool) -> None:
        super().__init__()
        device = model.mean.device
        self.network, done = _transformed(model, dtype, tile_bytes=TILE_BYTES if device.type == "cpu" else None)
        self.eval()
        self._compile = compile
        self._cache = ShapeCache(self._run, self._make) if compile or device.type == "cuda" else None
        self.report = (f"{str(dtype).removeprefix('torch.')}, channels_last, on {device}", *done)
        if compile:
            self.report += (f"compiled for the last {SHAPES} shapes that came twice",)
        if device.type == "cuda":
            self.report += (f"CUDA graphs of the last {SHAPES} shapes that came twice",)

    @property
    def max_short_side(self) -> int | None:
        """The limit of a photo's short side that the weights were trained for, in pixels; None where not known."""
        return self.network.max_short_side

    @torch.no_grad()
    def forward(self, image: Tensor) -> PPMattingOutput:
        """Return alpha, detail map and semantic logits of an image, (N, 3, H, W) in [0, 1]."""
        image = self._checked(image)
        with torch.autocast(image.device.type, enabled=False):
            return PPMattingOutput(*(self._run if self._cache is None else self._cache)(image))

    @torch.no_grad()
    def encode(self, image: Tensor | Level) -> Encoded:
        """Compute what needs the whole of an image, as `PPMatting.encode` does; a level must give float32."""
        image = image if isinstance(image, Level) else self._checked(image)
        with torch.autocast(self.network.mean.device.type, enabled=False):
            return self.network.encode(image)

    @torch.no_grad()
    def decode(self, encoded: Encoded, window: Window | tuple[int, int, int, int] | None = None) -> PPMattingOutput:
        """Compute the rest for a window, as `PPMatting.decode` does."""
        with torch.autocast(self.network.mean.device.type, enabled=False):
            return self.network.decode(encoded, window)

    @torch.no_grad()
    def warm_up(self, shape: Sequence[int]) -> None:
        """Compile and record for images of a shape, (N, 3, H, W), ahead of the first."""
        image = self._checked(torch.rand(tuple(shape), device=self.network.mean.device))
        with torch.autocast(image.device.type, enabled=False):
            if self._cache is None:
                self._run(image)
            else:
                self._cache.get(image)

    def train(self, mode: bool = True) -> "PreparedMatting":
        """Stay in evaluation mode.

        Raises:
            ValueError: If ``mode`` is true.
        """
        if mode:
            raise ValueError("a prepared network cannot train, its batch norms are folded; train the model it is of")
        return super().train(False)

    def _run(self, image: Tensor) -> PPMattingOutput:
        """In tiles images come one by one, and large ones in windows."""
        batch, _, height, width = image.shape
        if batch == 0:
            return PPMattingOutput(*(image.new_empty((0, channels, height, width)) for channels in (1, 1, 3)))
        if batch > 1 and self.network.tile_bytes is not None:
            return PPMattingOutput(*map(torch.cat, zip(*map(self._run, image.split(1)), strict=True)))
        if height * width > WINDOW_PIXELS and declared(self.network, "decode") is not None:
            return join(decode_in_windows(self.network, image, WINDOW_PIXELS), (height, width))
        return self.network(image)

    def _make(self, image: Tensor) -> Run:
        run = compiled(self.network, image) if self._compile else self._run
        return CudaGraph(run, image) if image.device.type == "cuda" else run

    def _checked(self, image: Tensor) -> Tensor:
        check_image(image)
        return image.detach().to(torch.float32, memory_format=torch.channels_last)

    def __repr__(self) -> str:
        return "\n  ".join([f"{type(self).__name__}(", *self.report]) + "\n)"


def _transformed(model: PPMatting, dtype: torch.dtype, *, tile_bytes: int | None) -> tuple[PPMatting, list[str]]:
    """A copy with its batch norms folded, in one precision and channels_last, and what was done to it, a line each.

    Normalisation, sigmoid, argmax and fusion stay in float32.
    """
    device = model.mean.device
    network, done = _rewritten(model, fuse=runs_in_onednn(dtype) and device.type == "cpu")
    network.float().to(device)
    for part in (network.encoder, network.context, network.detail):
        part.to(dtype)
    if tile_bytes is not None:
        done.append("high resolutions computed in tiles that fit the cache, images one by one")
        for module in network.modules():
            if hasattr(module, "tile_bytes"):
                vars(module)["tile_bytes"] = tile_bytes
    # of each part that is local in this library, what it declares of that, or None
    reach = {
        "context": declared(network.context, "levels"),
        "detail": halo(network.detail) if (own := declared(network.detail, "reach")) is None else own,
        "fusion": halo(network.fusion),
    }
    if whole := [name for name, seen in reach.items() if seen is None]:
        done.append(f"computed whole, since it is not known how far they see: {', '.join(whole)}")
    return network.eval(), done


def _rewritten(model: PPMatting, *, fuse: bool) -> tuple[PPMatting, list[str]]:
    """A copy in float64, folded, and what was done to it. It was tried on an image, and gave the network's own numbers.

    Where it did not, or could not be tried, an ``nn.Sequential`` may be in use as a list, and none is folded.

    Raises:
        RuntimeError: If what modules declare as ``folds`` gives other numbers.
    """
    for sequences in (True, False):
        network = copy.deepcopy(model).requires_grad_(False)
        network = network.to(_of_float64(model.mean.device)).double()  # rounded once, when all is folded
        expected = _tried(network)
        if expected is None and sequences:
            continue
        done = []
        encoder: Any = network.encoder
        if (keep := declared(encoder, "keep")) is not None and declared(network, "decode") is not None:
            read = tuple(sorted({encoder.outputs[index] for index in (0, 1, -1)}))
            if read != encoder.outputs:
                keep(read)
                done.append("features of the encoder that nothing reads are not computed")
        folded = fold_batch_norms(network, sequences=sequences)
        left = [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        kept = f"; {len(left)} stay, {left[0]} the first" if left else ""
        done.insert(0, f"{folded} batch norms folded into convolutions{kept}")
        for module in filter(is_convolution, network.modules()):  # others may count on how their weights lie in memory
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's types lack it)
        if fuse and (fused := fuse_activations(network, sequences=sequences)):
            done.append(f"{fused} activations applied by the convolutions before them")
        if fuse:
            direct_pointwise(network)
        if not sequences:
            done.append("nothing folded within nn.Sequential: tried so, the network gave other numbers or none")
        if expected is None or _agree(_tried(network), expected):
            return network, done
    raise RuntimeError("a module's folds must name what follows each other, got some that give other numbers")


def _of_float64(device: torch.device) -> torch.device:
    """Where float64 is computed for a device: on itself, but Apple's GPUs have none."""
    return torch.device("cpu") if device.type == "mps" else device


def _tried(network: PPMatting) -> list[Tensor] | None:
    """What a network of float64 makes of an image of noise, but for alpha; None where it cannot be run so."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 64, 64), generator=generator, dtype=torch.float64, device="cpu")
    try:
        with torch.no_grad(), torch.autocast(network.mean.device.type, enabled=False):
            output = network(image.to(network.mean.device))
    except Exception:  # whatever a foreign module says of an image of this size or type
        return None
    return [output.detail, output.semantic_logits]


def _agree(found: list[Tensor] | None, expected: list[Tensor]) -> bool:
    return found is not None and all(
        torch.allclose(x, y, rtol=1e-6, atol=1e-6, equal_nan=True) for x, y in zip(found, expected, strict=True)
    )
