"""The settings of a run: the paper's values, in one place, and as TOML."""

import dataclasses
import difflib
import json
import math
import os
import tomllib
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from mattekit._checks import check_choice, check_guidance, check_nonnegative, check_number, check_positive
from mattekit.photos.decoding import open_regular

_COUNTS = ("size", "batch_size", "iterations", "accumulate", "log_every", "checkpoint_every")
_COUNTS_FROM_0 = ("workers", "seed", "warm_up", "validate_every", "sheet_every")
_LARGEST_SEED = 2**63 - 1  # of TOML's integers, and with the number of a process added it is one that torch takes
_SHARES = ("holdout", "momentum", "floor", "ema")
_CHOICES = {
    "fusion": ("replace", "conv", "detail", "soft"),
    "freeze": ("nothing", "encoder"),
    "optimiser": ("sgd", "adamw"),
    "schedule": ("poly", "cosine", "constant"),
    "precision": ("float32", "bfloat16"),
}


@dataclass(frozen=True)
class Settings:
    r"""All settings of a run; the defaults are the paper's recipe.

    Args:
        encoder: A name from `mattekit.encoders`.
        guidance: Which context blocks guide the detail branch.
        fusion: "replace", "conv", "detail" or "soft".
        weights: Whole network to start from: a published name or a file. It brings its own parts along.
        encoder_weights: File with weights of the encoder to start from, such as ImageNet's.
        freeze: "encoder" leaves the encoder as it is, its batch norms too; "nothing" trains everything.
        size: Side of the crops that the network sees, in pixels.
        batch_size: Samples of a batch, over all processes together.
        workers: Processes that prepare batches ahead, for each process that trains.
        holdout: Share of the samples kept for validation where no validation data are given.
        skip_errors: Leave samples out that cannot be read, and count them, instead of stopping.
        seed: Everything random follows from it; from 0 to 2**63 - 1.
        loss_weights: Weights of the semantic, the detail and the fusion loss.
        iterations: Steps of the optimiser.
        optimiser: "sgd" or "adamw".
        learning_rate: The rate at its highest.
        encoder_rate: The encoder's share of the learning rate.
        momentum: Of SGD; AdamW's first beta.
        weight_decay: Of every parameter.
        schedule: How the rate falls: "poly", "cosine" or "constant".
        power: Of the poly schedule.
        warm_up: Iterations in which the rate rises to its highest.
        floor: Share of the highest rate at which the schedule ends.
        clip: Largest norm of the gradient, to which a larger one is shortened; 0 leaves all as they are.
        accumulate: Batches whose gradients are averaged for one step.
        ema: Decay of the moving average of the weights, which is then validated and saved; 0 keeps none.
        precision: "float32", or "bfloat16" under autocast.
        sync_batch_norm: Let batch norms see the whole batch where several GPUs share it.
        channels_last: Keep the network's weights in this memory format.
        compile: Have torch compile the step, which takes minutes and needs a C++ compiler, on a GPU Triton.
        log_every: Iterations between lines of the log.
        checkpoint_every: Iterations between checkpoints.
        validate_every: Iterations between validations; 0 validates at the end only.
        sheet_every: Iterations between sheets of pictures; 0 draws one at the end only.
        tensorboard: Write the log for TensorBoard too.

    Raises:
        TypeError: If a setting is of another type.
        ValueError: If a setting is impossible; it is named.

    Source:
        Section 4.2, and equation 12 for the weights of the losses.

    Example:
        >>> settings = Settings(iterations=1000, encoder="hrnet_w18")
        >>> settings.learning_rate, settings.momentum, settings.power
        (0.01, 0.9, 0.9)
        >>> Settings.from_toml('iterations = 1000\nencoder = "hrnet_w18"') == settings
        True
    """

    encoder: str = "hrnet_w48"
    guidance: tuple[int, ...] = (1, 3, 5)
    fusion: str = "replace"
    weights: str | None = None
    encoder_weights: str | None = None
    freeze: str = "nothing"
    size: int = 512
    batch_size: int = 4
    workers: int = 2
    holdout: float = 0.05
    skip_errors: bool = False
    seed: int = 0
    loss_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    iterations: int = 300_000
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    encoder_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 4e-5
    schedule: str = "poly"
    power: float = 0.9
    warm_up: int = 0
    floor: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    precision: str = "float32"
    sync_batch_norm: bool = True
    channels_last: bool = True
    compile: bool = False
    log_every: int = 50
    checkpoint_every: int = 1000
    validate_every: int = 10_000
    sheet_every: int = 10_000
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(field.name, getattr(self, field.name), field.default))
        for name in _COUNTS:
            check_positive(name, getattr(self, name))
        for name in (*_COUNTS_FROM_0, "encoder_rate", "weight_decay", "clip"):
            check_nonnegative(name, getattr(self, name))
        for name in ("learning_rate", "power"):
            check_positive(name, getattr(self, name))
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)!r}")
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.size < 32:
            raise ValueError(f"size must be at least 32, got {self.size}")
        if self.seed > _LARGEST_SEED:
            raise ValueError(f"seed must be at most 2**63 - 1, got {self.seed}")
        if len(self.loss_weights) != 3 or not all(0 <= weight < math.inf for weight in self.loss_weights):
            raise ValueError(f"loss_weights must be three numbers from 0 up, and finite, got {self.loss_weights}")
        if not any(self.loss_weights):
            raise ValueError(f"loss_weights must not all be 0, got {self.loss_weights}")
        if self.warm_up >= self.iterations:
            raise ValueError(f"warm_up must be below iterations, got {self.warm_up} and {self.iterations}")
        if self.weights and self.encoder_weights:
            raise ValueError("encoder_weights must be left out where weights are given: they hold the encoder too")
        self._check_network()

    def _check_network(self) -> None:
        """Check what the network is made of; the names of encoders are the factory's, which needs torch."""
        check_guidance(self.guidance)
        changed = [name for name in ("encoder", "guidance", "fusion") if getattr(self, name) != getattr(Settings, name)]
        if self.weights and changed:
            rule = "must be left out where weights are given: they bring their own"
            raise ValueError(f"{changed[0]} {rule}, got {getattr(self, changed[0])!r}")
        if "encoder" in changed:
            from mattekit.models.factory import check_encoder_name

            check_encoder_name(self.encoder)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Settings by name; those left out are the paper's.

        Raises:
            TypeError: As the class.
            ValueError: As the class; and if a name is no setting's.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"they are {', '.join(names)}"
                raise ValueError(f"there is no setting {name!r}: {hint}")
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Settings from TOML, a line each; those left out are the paper's.

        Raises:
            TypeError: As the class.
            ValueError: As `from_dict`; and if the text is no TOML.
        """
        return cls.from_dict(tomllib.loads(text))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Settings from a TOML file; errors name it.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is no TOML, or a setting is unknown or impossible.
        """
        try:
            with open_regular(path) as file:
                return cls.from_toml(file.read().decode())
        except (TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    def to_toml(self) -> str:
        """The settings as TOML, a line each; what is not set stands in a comment."""
        lines = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                lines.append(f"# {field.name} is not set")
            else:  # JSON's strings, numbers, lists and booleans are TOML's, but that it leaves one control character
                lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", r"\u007f"))
        return "\n".join(lines) + "\n"


def _typed(name: str, value: Any, default: Any) -> Any:
    """A value in its setting's type: a whole number for a float, a list for a tuple will do."""
    if default is None or isinstance(default, str):
        if not isinstance(value, str) and not (value is None and default is None):
            raise TypeError(f"{name} must be a string, got {value!r}")
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be true or false, got {value!r}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            raise TypeError(f"{name} must be a list, got {value!r}")
        return tuple(_typed(name, item, default[0]) for item in value)
    check_number(name, value, Integral if isinstance(default, int) else Real)
    return type(default)(value)


def rate_factor(settings: Settings, iteration: int) -> float:
    """The share of the learning rate that an iteration, from 0 on, has.

    Args:
        settings: Their ``schedule``, ``power``, ``warm_up``, ``floor`` and ``iterations`` count.
        iteration: From 0 on.

    Returns:
        A number from 0 to 1.

    Source:
        Section 4.2: "poly" is (1 - iteration / iterations) ** power.

    Example:
        >>> [round(rate_factor(Settings(iterations=4), iteration), 3) for iteration in range(4)]
        [1.0, 0.772, 0.536, 0.287]
    """
    if iteration < settings.warm_up:
        return (iteration + 1) / settings.warm_up
    done = min(1.0, (iteration - settings.warm_up) / (settings.iterations - settings.warm_up))
    shape = {
        "poly": (1 - done) ** settings.power,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "constant": 1.0,
    }[settings.schedule]
    return settings.floor + (1 - settings.floor) * shape
