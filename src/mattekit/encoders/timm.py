"""timm's backbones as encoders."""

from typing import Any

from torch import Tensor, nn


class TimmEncoder(nn.Module):
    """A timm model, made with ``features_only=True``, as an `Encoder`.

    timm is imported here and nowhere else, when an encoder is made.

    Args:
        name: A name of ``timm.list_models()``, such as ``"resnet34"``.
        pretrained: Load timm's weights for it.

    Attributes:
        channels: Channels of each feature.
        strides: Stride of each feature.
        mean: Mean that the model's weights expect to be subtracted; `mattekit.models.pp_matting` uses it.
        std: Standard deviation that they expect to be divided by.

    Raises:
        ImportError: If timm, or the torchvision it needs, cannot be imported; the message says what to install.

    Source:
        https://huggingface.co/docs/timm/feature_extraction

    Example:
        >>> from mattekit.encoders import TimmEncoder
        >>> encoder = TimmEncoder("resnet34")  # doctest: +SKIP
        >>> encoder.channels, encoder.strides  # doctest: +SKIP
        ((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.name = name
        timm = _import_timm()
        self.model: nn.Module = timm.create_model(name, pretrained=pretrained, features_only=True)
        info: Any = self.model.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())
        config = timm.data.resolve_model_data_config(self.model)
        self.mean: tuple[float, ...] = tuple(config["mean"])
        self.std: tuple[float, ...] = tuple(config["std"])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the model's features of a normalised image, (N, 3, H, W), the highest resolution first."""
        return list(self.model(image))


def _import_timm() -> Any:
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch build fails with a RuntimeError
        raise ImportError(
            "TimmEncoder needs timm and a torchvision that fits your torch: "
            f"pip install timm torchvision ({type(error).__name__}: {error})"
        ) from error
    return timm
