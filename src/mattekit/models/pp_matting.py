"""PP-Matting: the network of Figure 2, put together from its parts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mattekit._checks import check_floating, check_nchw, check_unit, is_traced
from mattekit.encoders import Encoder
from mattekit.encoders.protocol import check_declaration
from mattekit.models.preprocessing import Preprocessing
from mattekit.windows import Level, Window, compute_levels, declared, halo, in_order, levels_of, size_of, wholes


class PPMattingOutput(NamedTuple):
    """What PP-Matting returns, in training as in evaluation.

    Attributes:
        alpha: The matte, (N, 1, H, W), in [0, 1]: the fusion of the other two.
        detail: The detail map, (N, 1, H, W), in [0, 1]; it has a meaning only in the transition region.
        semantic_logits: (N, 3, H, W); class 0 foreground, 1 transition, 2 background.
    """

    alpha: Tensor
    detail: Tensor
    semantic_logits: Tensor


class Encoded(NamedTuple):
    """What `PPMatting.encode` returns: the three maps, to be computed window by window."""

    alpha: Level
    detail: Level
    semantic_logits: Level


class PPMatting(nn.Module):
    """PP-Matting, composed of an encoder, the two branches it feeds, and the fusion of their results.

    Takes an image, (N, 3, H, W) RGB in [0, 1] with sides from 32 up, and returns a `PPMattingOutput` of its size. The
    maps are float32 under autocast too.

    Args:
        encoder: An `Encoder`: its first two features feed the detail branch, its last the context branch.
        context: Takes the encoder's last feature and a size; returns semantic logits and guidance features.
        detail: Takes the encoder's first two features, the guidance and a size; returns the logits of the detail map.
        fusion: Takes semantic logits and the detail map; returns alpha.
        preprocessing: The mean and std that the image is normalised by, the size that the network was trained for, and
            the size at which the context branch sees the image. None: the encoder's ``mean`` and ``std``, where it has
            them, as timm's have, and else 0.5.

    Source:
        Section 3.1, Figure 2.

    Example:
        >>> import torch
        >>> from mattekit.blocks import HighResolutionDetailBranch, ReplaceFusion, SemanticContextBranch
        >>> from mattekit.encoders import hrnet_w18_small_v1
        >>> from mattekit.models import PPMatting
        >>> encoder = hrnet_w18_small_v1()
        >>> context = SemanticContextBranch(encoder.channels[-1])
        >>> detail = HighResolutionDetailBranch(encoder.channels[:2], context.guidance_channels)
        >>> model = PPMatting(encoder, context, detail, ReplaceFusion()).eval()
        >>> model(torch.rand(1, 3, 64, 96)).alpha.shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        encoder: Encoder,
        context: nn.Module,
        detail: nn.Module,
        fusion: nn.Module,
        *,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        check_encoder(encoder)
        assert isinstance(encoder, nn.Module)
        self.encoder = encoder
        self.context = context
        self.detail = detail
        self.fusion = fusion
        self.mean: Tensor
        self.std: Tensor
        for name in ("mean", "std"):
            self.register_buffer(name, torch.empty(1, 3, 1, 1), persistent=False)
        self.preprocessing = _expected_by(encoder) if preprocessing is None else preprocessing
        self.register_load_state_dict_post_hook(_leave_meta)
        self.tile_bytes: int | None = None

    def forward(self, image: Tensor) -> PPMattingOutput:
        """Return alpha, detail map and semantic logits of an image, (N, 3, H, W) in [0, 1]."""
        return self.decode(self.encode(image))

    def encode(self, image: Tensor | Level) -> Encoded:
        """Compute what needs the whole of an image, (N, 3, H, W) in [0, 1]; `decode` computes the rest.

        An image given as a level is made where it is looked at, so that a large photo may stay in bytes.
        """
        check_image(image)
        size, tile_bytes = size_of(image), self.tile_bytes
        is_local = tile_bytes is None or declared(self, "decode") is not None  # else normalise may see all of the image
        normalised = Level([image], size, self.normalise, halo=0 if is_local else None, stride=1)
        features = levels_of(self.encoder, normalised, tile_bytes=tile_bytes)
        _check_features(features, self.encoder, size)
        coarse, context_size = self.seen_by_context(image, features[-1])
        semantic_logits, guidance = levels_of(self.context, coarse, context_size, tile_bytes=tile_bytes)
        detail_logits = self._detail_logits(features[:2], guidance, size)
        # three channels are resized and compared faster where each lies apart
        own_size = size_of(semantic_logits)
        semantic_logits = Level([semantic_logits], own_size, lambda x: _full_precision(x).contiguous(), stride=1)
        if self.preprocessing.context_short_side is not None:
            semantic_logits = Level([semantic_logits], size, nn.Identity())  # a step that is computed once for both
        detail = Level([detail_logits], size, lambda logits: _full_precision(logits).sigmoid(), stride=1)
        alpha = Level([semantic_logits, detail], size, self.fusion, halo=self.fusion, stride=1)
        encoded = Encoded(alpha, detail, semantic_logits)
        if not torch.compiler.is_compiling():
            for level in in_order(encoded):
                if 4 * (level.size[0] - 1) < size[0]:
                    level.whole(tile_bytes)
        return encoded

    def decode(self, encoded: Encoded, window: Window | tuple[int, int, int, int] | None = None) -> PPMattingOutput:
        """Compute what is local, for a window of the image.

        Args:
            encoded: What `encode` returned; it may be decoded again and again, window by window.
            window: Top, left, height and width, in pixels. None: the whole image.

        Returns:
            Alpha, detail map and semantic logits of the window, the same numbers as those of the whole image, to the
            rounding of float32.

        Raises:
            ValueError: If the window is not within the image.
        """
        window = None if window is None else Window(*window)
        return PPMattingOutput(*compute_levels(encoded, window, tile_bytes=self.tile_bytes))

    def seen_by_context(self, image: Tensor | Level, coarse: Tensor | Level) -> tuple[Tensor | Level, Sequence[int]]:
        """Return the encoder's last feature and the image's size, of an image as the context branch sees it.

        Args:
            image: As in ``forward``.
            coarse: The encoder's last feature of it, which is returned where `preprocessing` has no
                ``context_short_side`` or the image is small enough.
        """
        size, limit = size_of(image), self.preprocessing.context_short_side
        if limit is None:
            return coarse, size
        least = _smaller(*size)
        short = _smaller(least, limit)
        shrunk = [side * short // least for side in size]
        if not is_traced() and shrunk == list(size):
            return coarse, size
        small = Level([image], shrunk, self.normalise).whole(self.tile_bytes)
        features = levels_of(self.encoder, small, tile_bytes=self.tile_bytes)
        return wholes(features[-1], self.tile_bytes), shrunk

    def _detail_logits(
        self, features: Sequence[Tensor | Level], guidance: Sequence[Tensor | Level], size: tuple[int, int]
    ) -> Any:
        """The detail branch's logits: as a level if it is known how far it sees."""
        if torch.compiler.is_dynamo_compiling() or declared(self.detail, "levels") or halo(self.detail) is None:
            return levels_of(self.detail, features, guidance, size, tile_bytes=self.tile_bytes)

        def draw(*inputs: Tensor) -> Tensor:
            return self.detail(inputs[: len(features)], inputs[len(features) :], inputs[0].shape[-2:])

        return Level([*features, *guidance], size, draw, halo=self.detail)

    def normalise(self, image: Tensor) -> Tensor:
        """Return (image - mean) / std, in the encoder's own type."""
        dtype = next((p.dtype for p in self.encoder.parameters() if p.is_floating_point()), self.mean.dtype)
        return ((image - self.mean) / self.std).to(dtype)

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image is normalised, and the size that the network was trained for; assign another to change it."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Preprocessing) -> None:
        if not isinstance(value, Preprocessing):
            raise TypeError(f"preprocessing must be a Preprocessing, got {type(value).__name__}")
        for name in ("mean", "std"):
            buffer = getattr(self, name)
            buffer.copy_(torch.tensor(getattr(value, name), device=buffer.device).view_as(buffer))
        self._preprocessing = value

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PPMatting":
        """Fill mean and std where ``to_empty`` gave them memory: no file of weights holds them."""
        was_empty = self.mean.is_meta
        super()._apply(fn, recurse)
        if was_empty:
            self.preprocessing = self._preprocessing
        return self

    @property
    def max_short_side(self) -> int | None:
        """The limit of a photo's short side, in pixels, from `preprocessing`; `mattekit.inference.predict` keeps it."""
        return self.preprocessing.max_short_side

    @max_short_side.setter
    def max_short_side(self, value: int | None) -> None:
        self.preprocessing = replace(self.preprocessing, max_short_side=value)


def _leave_meta(model: PPMatting, _: object) -> None:
    """Let mean and std follow the parameters that ``load_state_dict(assign=True)`` put in place of meta tensors."""
    device = next(model.parameters(), model.mean).device
    if model.mean.is_meta and device.type != "meta":
        for name in ("mean", "std"):
            setattr(model, name, torch.empty_like(getattr(model, name), device=device))
        model.preprocessing = model.preprocessing


def check_encoder(encoder: object) -> None:
    """Check that it is an `Encoder` of at least two features."""
    if isinstance(encoder, Encoder) and len(encoder.channels) < 2:
        raise ValueError(f"encoder must have two features at least, got channels {tuple(encoder.channels)}")
    check_declaration(encoder)


def _expected_by(encoder: Encoder) -> Preprocessing:
    """What an encoder says that its weights expect."""
    known = {name: getattr(encoder, name) for name in ("mean", "std") if hasattr(encoder, name)}
    try:
        return Preprocessing(**known)
    except (TypeError, ValueError) as error:
        raise type(error)(f"encoder's {error}; give preprocessing to normalise in another way") from None


def _check_features(features: object, encoder: Encoder, size: Sequence[int]) -> None:
    """Check that features have the channels and the sizes that the encoder declares.

    A side over its stride may be rounded either way: timm's patches leave out what does not fill one.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(features, (list, tuple)):
        raise TypeError(f"encoder must return a list or tuple of features, got {type(features).__name__}")
    known = [(x, c) for x, c in zip(features, encoder.channels, strict=False) if isinstance(x, Tensor)]
    found = tuple(feature.shape[1] for feature, _ in known)
    if len(features) != len(encoder.channels) or found != tuple(channels for _, channels in known):
        raise ValueError(f"encoder must return features of its channels, {tuple(encoder.channels)}, got {found}")
    sizes = [tuple(size_of(feature)) for feature in features]
    for found, stride in zip(sizes, encoder.strides, strict=True):
        if not all(side // stride <= part <= -(-side // stride) for part, side in zip(found, size, strict=True)):
            raise ValueError(
                f"encoder must return features at its strides, {tuple(encoder.strides)}, got sizes {sizes} "
                f"of an image of {tuple(size)}"
            )


def check_image(image: Tensor | Level) -> None:
    """Check that an image is what PP-Matting takes: floating-point in [0, 1], (N, 3, H, W), sides from 32 up.

    A GPU checks the range in its own time; of a level nobody looks at it.
    """
    if torch.compiler.is_compiling():  # a rule on a traced side would forbid the exported network smaller ones
        return
    if not isinstance(image, Level):
        check_nchw("image", image, 3)
        check_floating("image", image)
    if min(size_of(image)) < 32:
        shape = size_of(image) if isinstance(image, Level) else tuple(image.shape)
        raise ValueError(f"image must have sides from 32 up, got {shape}")
    if not isinstance(image, Level):
        check_unit("image", image)


def _smaller(side: Any, other: Any) -> Any:
    """The minimum, which a trace keeps as one of sides that may change."""
    if isinstance(side, Tensor):  # what sides are in a trace of torch.jit
        return torch.minimum(side, torch.as_tensor(other))
    return torch.sym_min(side, other)


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
