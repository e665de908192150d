"""What is trained: a model and its losses."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import Tensor, nn

from mattekit.data import Batch
from mattekit.losses import pp_matting_loss
from mattekit.training.logs import COLUMNS
from mattekit.training.settings import Settings
from mattekit.trimap import UNKNOWN


class StepResult(NamedTuple):
    """What a step returns for a batch.

    Attributes:
        losses: Scalars by name, the same names at each step. The one called ``total`` is what is learned from; the
            others are logged, so none is called as another column of ``log.csv``, such as ``epoch``.
        output: What the model returned.
    """

    losses: Mapping[str, Tensor]
    output: Any


class Step(nn.Module):
    """A model with its losses: what `train` trains. Another network or another loss is another step.

    Derive from it and write ``forward``. Whatever else is to be learned beside the model, such as a head for an
    auxiliary loss, is a submodule of the step: it is trained and kept in checkpoints, and not saved with the model.

    Args:
        model: The network. Validation, pictures and the saved weights take it alone.

    Example:
        >>> import torch
        >>> class Grey(Step):
        ...     def forward(self, batch):
        ...         alpha = self.model(batch.image).sigmoid()
        ...         return StepResult({"total": (alpha - batch.alpha).abs().mean()}, alpha)
        >>> Grey(torch.nn.Conv2d(3, 1, 1)).parameter_groups()[0].keys()
        dict_keys(['params'])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any) -> StepResult:
        """Run the model on a batch and compare what it says with the truth."""
        raise NotImplementedError(f"{type(self).__name__} must have a forward")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser gets: parameters in groups, each perhaps with ``rate``, its share of the learning rate."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]


def losses_of(result: Any) -> Mapping[str, Tensor]:
    """The losses within what a step returned.

    Raises:
        TypeError: If it is no `StepResult`, or a loss is no scalar tensor.
        ValueError: If there is no ``total``, or one has the name of another column of the log.
    """
    losses = getattr(result, "losses", None)
    if not isinstance(losses, Mapping):
        raise TypeError(f"a step's forward must return a StepResult, got a {type(result).__name__}")
    if "total" not in losses:
        raise ValueError(f"losses must have one called total, which is learned from, got {', '.join(losses) or 'none'}")
    if taken := COLUMNS & losses.keys():
        raise ValueError(f"losses must have names that the log has no other use for, got {', '.join(sorted(taken))}")
    for name, value in losses.items():
        if not isinstance(value, Tensor) or value.ndim:
            shown = f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise TypeError(f"losses must be scalar tensors, got {shown} for {name}")
    return losses


class PPMattingStep(Step):
    """PP-Matting and the sum of its losses.

    Where several processes share a batch, each weighs its means by its part of what all of them average, so
    that the gradients are those of the whole batch.

    Args:
        model: A `mattekit.models.PPMatting`, or any network of its attributes and outputs.
        loss_weights: λ1, λ2, λ3 of the semantic, the detail and the fusion loss.
        encoder_rate: The encoder's share of the learning rate.
        freeze_encoder: Leave the encoder as it is, its batch norms too.

    Source:
        Equation 12.

    Example:
        >>> from mattekit.data import Loader, Resize, SyntheticMattes
        >>> from mattekit.models import pp_matting
        >>> step = PPMattingStep(pp_matting("hrnet_w18_small_v1"))
        >>> batch = next(iter(Loader(SyntheticMattes(), Resize(64), batch_size=2)))
        >>> list(step(batch).losses)
        ['total', 'semantic', 'detail', 'fusion']
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        loss_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
        encoder_rate: float = 1.0,
        freeze_encoder: bool = False,
    ) -> None:
        super().__init__(model)
        self.loss_weights = tuple(loss_weights)
        self.encoder_rate = encoder_rate
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            model.get_submodule("encoder").requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "PPMattingStep":
        """Set the mode; a frozen encoder remains in evaluation."""
        super().train(mode)
        if self.freeze_encoder:
            self.model.get_submodule("encoder").eval()
        return self

    def forward(self, batch: Batch) -> StepResult:
        """Run the network on a batch; its losses are ``total``, ``semantic``, ``detail`` and ``fusion``."""
        output = self.model(batch.image)
        layers = (batch.foreground, batch.background)
        losses = pp_matting_loss(output, batch.alpha, batch.trimap, *layers, has_layers=batch.has_layers)
        images, unknown, known = share_of_all(
            torch.tensor(len(batch)), (batch.trimap == UNKNOWN).sum(), batch.has_layers.sum()
        )
        semantic = losses.semantic * images
        detail = losses.detail * unknown
        fusion = (losses.fusion_alpha + losses.fusion_gradient) * images + losses.fusion_composition * known
        first, second, third = self.loss_weights
        total = first * semantic + second * detail + third * fusion
        return StepResult({"total": total, "semantic": semantic, "detail": detail, "fusion": fusion}, output)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Encoder and rest, the first with ``encoder_rate`` of the learning rate."""
        encoder = list(self.model.get_submodule("encoder").parameters())
        known = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        groups = [{"params": rest, "rate": 1.0}, {"params": encoder, "rate": self.encoder_rate}]
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
        return [group for group in groups if group["params"]]


def pp_matting_step(settings: Settings) -> PPMattingStep:
    """Make the network and the step that settings describe.

    Args:
        settings: Of the network, the losses and what is frozen.

    Returns:
        The step. Its new weights follow from the seed; torch's own generator is left as it was.

    Raises:
        ValueError: If a name is unknown, arguments and weights contradict each other, or a batch is of one image a
            process, whose batch norms need two.
        RuntimeError: If weights cannot be read or do not fit.

    Example:
        >>> step = pp_matting_step(Settings(encoder="hrnet_w18_small_v1", guidance=(5,)))
        >>> step.model.detail.guidance
        (5,)
    """
    from mattekit.models import pp_matting

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        if settings.weights:
            model = pp_matting(weights=settings.weights)
        else:
            model = pp_matting(
                settings.encoder,
                guidance=settings.guidance,
                fusion=settings.fusion,  # pyright: ignore[reportArgumentType]: the settings have checked it
                encoder_weights=settings.encoder_weights,
            )
    step = PPMattingStep(
        model.train(),
        loss_weights=settings.loss_weights,
        encoder_rate=settings.encoder_rate,
        freeze_encoder=settings.freeze == "encoder",
    )
    _check_batch_size(step, settings)
    return step


def _check_batch_size(step: nn.Module, settings: Settings) -> None:
    """Check that batch norms that train see two images at least, in the share of the batch that is this process's."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # as the launcher says, before they have met
    if settings.sync_batch_norm and torch.cuda.is_available():
        processes = 1  # as far as batch norms see
    norms = (module for module in step.modules() if isinstance(module, nn.BatchNorm2d))
    if settings.batch_size < 2 * processes and any(norm.training for norm in norms):
        rule = f"at least {2 * processes}: batch norms that are trained need two images a process"
        raise ValueError(f"batch_size must be {rule}, got {settings.batch_size}")


def share_of_all(*counts: Tensor) -> Tensor:
    """Divide each count by its mean over all processes.

    Weighted by these factors, the average of the processes' means is the mean over all.

    With one process all are 1. A count that is 0 in every process is 0 over 1.

    Args:
        counts: Scalars, such as how many pixels each mean of this process is taken over.

    Returns:
        The factors, float32, in a tensor that can be unpacked.

    Example:
        >>> share_of_all(torch.tensor(3), torch.tensor(17))
        tensor([1., 1.])
    """
    own = torch.stack([count.to(counts[-1].device, torch.float32) for count in counts])
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return torch.ones_like(own)
    everyone = own.clone()
    torch.distributed.all_reduce(everyone)
    return own * torch.distributed.get_world_size() / everyone.clamp(min=1)
