"""Training: the data alone, the step alone, both together; where a step's time goes, and which format it wants."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mattekit
from mattekit.data import CompositeFolders, Loader, SyntheticMattes, paper_transform
from mattekit.losses import pp_matting_loss
from mattekit.models import PPMattingOutput, pp_matting
from mattekit.training import PPMattingStep

cpu_only = pytest.mark.parametrize("device", ["cpu"], indirect=True)
SMALL = Path(mattekit.__file__).parent / "weights" / "small.safetensors"
NETWORKS = {"hrnet_w18": lambda: pp_matting("hrnet_w18"), "small": lambda: pp_matting(weights=SMALL)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve cut-outs and backgrounds of 640² as files."""
    root, source = tmp_path_factory.mktemp("data"), SyntheticMattes(seed=0, size=640)
    for folder in ("fg", "bg"):
        (root / folder).mkdir()
    for index in range(12):
        sample = source(index, np.random.default_rng(0))
        matte = np.rint(sample.alpha * 255).astype(np.uint8)
        Image.fromarray(np.dstack([sample.foreground, matte])).save(root / "fg" / f"{index}.png")
        Image.fromarray(sample.background).save(root / "bg" / f"{index}.jpg", quality=90)
    return CompositeFolders(root / "fg", root / "bg", backgrounds_each=1000)


def batch_of(size, count):
    return next(iter(Loader(SyntheticMattes(seed=0, size=2 * size), paper_transform(size), batch_size=count)))


class Trainer:
    """A step of training as `mattekit.training.train` takes it, without log and checkpoints."""

    def __init__(self, network, *, channels_last=True, bfloat16=False, fused=True):
        self.step = PPMattingStep(copy.deepcopy(network).train())
        if channels_last:
            self.step.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.step.parameters(), 0.01, momentum=0.9, weight_decay=4e-5, fused=fused)
        self.bfloat16 = bfloat16

    def __call__(self, batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            total = self.step(batch).losses["total"]
        total.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def per_second(medians, images):
    for side, seconds in medians.items():
        print(f"{side}: {images / seconds:.2f} images a second")


@cpu_only
@pytest.mark.parametrize("size", [128, 224])
@pytest.mark.parametrize("name", NETWORKS)
def test_which_waits(name, size, folders, device, compare):
    """Four images from files: the data alone, the step alone, one after the other, and the data by a worker."""

    def batches(workers):
        return iter(Loader(folders, paper_transform(size), batch_size=4, workers=workers))

    step, alone, worked = Trainer(NETWORKS[name]()), batches(0), batches(1)
    held = next(alone)
    sides = {
        "data alone": lambda: next(alone),
        "step alone": lambda: step(held),
        "one after the other": lambda: step(next(alone)),
        "data by a worker": lambda: step(next(worked)),
    }
    per_second(compare(f"data and training step {name} 4×{size}²", sides, rounds=3, warm_up=1), 4)


@cpu_only
@pytest.mark.parametrize("name", NETWORKS)
def test_which_format(name, device, compare):
    """What the fused optimiser gives, and channels_last, and bfloat16; training takes the third."""
    network, batch = NETWORKS[name](), batch_of(128, 2)
    ways = {
        "float32, optimiser not fused": Trainer(network, channels_last=False, fused=False),
        "float32": Trainer(network, channels_last=False),
        "float32, channels_last": Trainer(network),
        "bfloat16 autocast": Trainer(network, channels_last=False, bfloat16=True),
        "bfloat16 autocast, channels_last": Trainer(network, bfloat16=True),
    }
    sides = {way: lambda trainer=trainer: trainer(batch) for way, trainer in ways.items()}
    precision = {way: "bfloat16" for way in ways if way.startswith("bfloat16")}
    per_second(compare(f"training step {name} 2×128²", sides, rounds=3, warm_up=1, precision=precision), 2)


@cpu_only
@pytest.mark.parametrize("name", NETWORKS)
def test_where_the_time_goes(name, device, compare):
    """The whole step, and its parts alone: forward, losses forwards and backwards, optimiser."""
    trainer, batch = Trainer(NETWORKS[name]()), batch_of(128, 2)
    trainer(batch)
    with torch.no_grad():
        output = trainer.step.model(batch.image)
    leaves = PPMattingOutput(*(x.detach().requires_grad_() for x in output))
    trainer.step(batch).losses["total"].backward()

    def losses():
        pp_matting_loss(
            leaves, batch.alpha, batch.trimap, batch.foreground, batch.background, has_layers=batch.has_layers
        ).total.backward()

    whole, unfused = Trainer(NETWORKS[name]()), Trainer(NETWORKS[name](), fused=False)
    unfused.step(batch).losses["total"].backward()
    sides = {
        "step": lambda: whole(batch),
        "forward": lambda: trainer.step.model(batch.image),
        "losses, both ways": losses,
        "optimiser": trainer.optimiser.step,
        "optimiser, not fused": unfused.optimiser.step,
    }
    compare(f"parts of a training step {name} 2×128²", sides, rounds=3, warm_up=1)
