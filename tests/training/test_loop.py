"""What the loop computes, against a plain loop written out; and what it leaves in the folder."""

import csv
import dataclasses
import itertools
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from mattekit._checks import check_compiler
from mattekit.data import (
    Batch,
    Compose,
    CompositeFolders,
    FixedComposites,
    Loader,
    MergeForegrounds,
    Mix,
    Sample,
    collate,
    open_folder,
    pair_up,
    write_samples,
)
from mattekit.data.sources import group_of, name_of
from mattekit.inference import predict
from mattekit.metrics import sad
from mattekit.models import pp_matting
from mattekit.training import PPMattingStep, Step, StepResult, TrainingError, hold_out, loop, train, validate
from mattekit.training.holdout import Part
from mattekit.training.logs import COLUMNS
from mattekit.training.validation import photo as as_predict_takes_it
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, Matte, network, settings

NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, such as g++"
)


class Grey(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Conv2d(4, 1, 1)

    def forward(self, image):
        return Matte(self.head(self.encoder(image)).sigmoid())


class GreyStep(Step):
    def forward(self, batch):
        self.was_compiled = torch.compiler.is_compiling()
        output = self.model(batch.image)
        return StepResult({"total": (output.alpha - batch.alpha).abs().mean()}, output)

    def parameter_groups(self):
        return [{"params": self.model.encoder.parameters(), "rate": 0.1}, {"params": self.model.head.parameters()}]


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=NEEDS_COMPILER)])
def test_it_is_the_plain_loop(tmp_path, monkeypatch, compiled):
    """Poly schedule, momentum, weight decay, two groups, accumulation, clipping and a moving average, by hand.

    What a launcher says of accumulation changes nothing: Accelerate would divide the gradients once more.
    """
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    options = {"accumulate": 2, "clip": 0.05, "ema": 0.9, "channels_last": False, "weight_decay": 0.01}
    options["compile"] = compiled
    step = GreyStep(Grey())
    chosen = settings(learning_rate=0.5, iterations=5, **options)
    train(step, SOURCE, chosen, tmp_path, transform=TRANSFORM)
    assert step.was_compiled == compiled

    model = Grey()
    parameters = list(model.parameters())
    velocity = [torch.zeros_like(p) for p in parameters]
    average = [p.detach().clone() for p in parameters]
    batches = iter(Loader(SOURCE, TRANSFORM, batch_size=4, seed=0))
    for iteration in range(5):
        model.zero_grad()
        for batch in itertools.islice(batches, 2):
            ((model(batch.image).alpha - batch.alpha).abs().mean() / 2).backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        with torch.no_grad():
            for index, p in enumerate(parameters):
                gradient = p.grad * min(1, 0.05 / float(norm)) + 0.01 * p
                velocity[index] = 0.9 * velocity[index] + gradient
                p -= 0.5 * (1 - iteration / 5) ** 0.9 * (0.1 if index < 2 else 1) * velocity[index]
                keep = min(0.9, (1 + iteration) / (10 + iteration)) if iteration else 0
                average[index] = keep * average[index] + (1 - keep) * p
    for ours, p in zip(step.model.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours, p, rtol=1e-4, atol=1e-6)  # sums in another order, five steps of them
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["average"]
    for (name, _), expected in zip(step.named_parameters(), average, strict=True):
        torch.testing.assert_close(kept[f"module.{name}"], expected.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("device", "needed"), [("cpu", r"a C\+\+ compiler on the CPU"), ("cuda", "Triton on a GPU")])
def test_what_compiling_needs_is_named(tmp_path, monkeypatch, device, needed):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "g++")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=f"^compile=True needs {needed}"):
        check_compiler(torch.device(device))


def test_nothing_is_begun_without_a_compiler(tmp_path, monkeypatch):
    def refuse(device):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(loop, "check_compiler", refuse)
    with pytest.raises(RuntimeError, match="no compiler"):
        train(GreyStep(Grey()), SOURCE, settings(compile=True), tmp_path / "run", transform=TRANSFORM)
    assert not (tmp_path / "run").exists()


def test_what_a_run_leaves(tmp_path):
    step = PPMattingStep(network())
    validation = type(SOURCE)(seed=9, size=48, length=3)
    chosen = settings(validate_every=3, channels_last=False)  # one memory format: what is read again has the same bits
    scores = train(step, SOURCE, chosen, tmp_path, transform=TRANSFORM, validation=validation)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"settings.toml", "log.csv", "validation.csv", "state.pt"} | {
        f"{name}.safetensors" for name in ("best", "last")
    } | {"sheets"}
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["2", "4", "6"]
    assert rows[0].keys() == COLUMNS | {"total", "semantic", "detail", "fusion"}
    for row in rows:
        parts = sum(float(row[name]) for name in ("semantic", "detail", "fusion"))
        assert float(row["total"]) == pytest.approx(parts, rel=1e-4)  # six digits in the file
    with (tmp_path / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["3", "6"]
    assert float(rows[-1]["SAD"]) == pytest.approx(scores["SAD"], rel=1e-5)
    assert {path.name for path in (tmp_path / "sheets").iterdir()} == {"0000006.png", "0000006-figure5.png"}
    again = pp_matting(weights=tmp_path / "last.safetensors")
    assert validate(again, validation) == scores


def test_validation_is_the_mean_of_the_reference_metric():
    class Half(torch.nn.Module):
        def forward(self, image):
            return Matte(torch.full_like(image[:, :1], 0.5))

    samples = [SOURCE(index, None) for index in range(len(SOURCE))]
    expected = np.mean([sad(np.full_like(sample.alpha, 0.5), sample.alpha) for sample in samples])
    assert validate(Half(), SOURCE)["SAD"] == pytest.approx(expected, rel=1e-6)


def test_photos_of_16_bits_are_validated_as_those_of_8():
    photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    in_16_bits = (photo / 255).astype(np.float32)  # as `read_photo` gives them
    model = Grey()
    mattes = [predict(model, as_predict_takes_it(image)) for image in (photo, in_16_bits)]
    np.testing.assert_allclose(*mattes, rtol=0, atol=1e-6)  # float32


def test_a_frozen_encoder_stays_as_it_was(tmp_path, capsys):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = PPMattingStep(model, freeze_encoder=True)
    train(step, SOURCE, settings(iterations=2), tmp_path / "runs" / "first", transform=TRANSFORM)
    assert not capsys.readouterr().err  # no bar where none is asked for
    changed = {
        name.partition(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"context", "detail"}


def test_transitions_are_as_wide_beside_the_crop_as_at_512(tmp_path):
    """PaddleSeg widens an edge by 5 to 14 kernels of up to 4 pixels on either side: at 64² by 1 or 2 of them."""
    widths = []

    class Looking(ConvolutionStep):
        def forward(self, batch):
            widths.extend((batch.trimap[:, 0, 32] == 128).sum(1).tolist())
            return super().forward(batch)

    class Edges(list):
        def __call__(self, index, rng):
            alpha = np.zeros((64, 64), np.float32)
            alpha[:, 32:] = 1
            return Sample(np.zeros((64, 64, 3), np.uint8), alpha)

    train(Looking(Convolutions()), Edges(range(8)), settings(size=64, iterations=2), tmp_path, transform=Compose([]))
    assert len(widths) == 8
    assert max(widths) <= 2 * 2 * 2, widths
    assert min(widths) >= 1, widths


@dataclasses.dataclass(frozen=True)
class WeighedBatch(Batch):
    weight: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(()))


def test_another_batch_and_another_loss(tmp_path):
    seen = []

    def weighed(samples, **options):
        batch = collate(samples, **options)
        return WeighedBatch(**vars(batch), weight=1 - batch.alpha)

    class Weighing(ConvolutionStep):
        def forward(self, batch):
            seen.append(torch.equal(batch.weight, 1 - batch.alpha))
            output = self.model(batch.image)
            loss = ((output.alpha - batch.alpha) ** 2 * batch.weight).mean()
            return StepResult({"total": loss, "square": loss}, output)

    train(Weighing(Convolutions()), SOURCE, settings(iterations=2), tmp_path, transform=TRANSFORM, collate=weighed)
    assert seen == [True, True]
    assert "square" in (tmp_path / "log.csv").read_text().splitlines()[0]


class Sometimes(ConvolutionStep):
    """Some batches have a further loss, and the last ones have their losses in another order."""

    def __init__(self, model, further=()):
        super().__init__(model)
        self.batches, self.further = 0, further

    def forward(self, batch):
        result = super().forward(batch)
        self.batches += 1
        if self.batches in self.further:
            result.losses["hair"] = torch.tensor(8.0)
        return StepResult(dict(reversed(result.losses.items())) if self.batches > 4 else result.losses, result.output)


@pytest.mark.parametrize(
    ("further", "accumulate", "log_every", "message"),
    [
        ({1}, 1, 2, "losses must be at each step total, hair, gradient_norm, got total, grad"),  # within a line
        ({1, 3}, 2, 2, "losses must be at each step total, hair, got total"),  # within a step
        ({2, 3, 4}, 1, 1, "log.csv must have the columns iteration, total, hair, "),  # from line to line
    ],
)
def test_losses_that_come_and_go_are_refused(tmp_path, further, accumulate, log_every, message):
    """A CSV has one row of names: numbers stood below others, and means were over steps without the loss."""
    chosen = settings(accumulate=accumulate, log_every=log_every)
    with pytest.raises(TrainingError, match=message):
        train(Sometimes(Convolutions(), further), SOURCE, chosen, tmp_path, transform=TRANSFORM)


class Returning(ConvolutionStep):
    def __init__(self, change):
        super().__init__(Convolutions())
        self.change = change

    def forward(self, batch):
        return self.change(super().forward(batch))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": Grey()}, r"step must be .*such as PPMattingStep\(model\), got a Grey"),
        ({"source": "my-data"}, r"source must be .*open_folder\(path\) gives, got a str"),
        ({"validation": "my-data"}, r"validation must be .*open_folder\(path\) gives, got a str"),
        ({"settings": {"size": 64}}, "settings must be mattekit.training.Settings, got a dict"),
    ],
)
def test_a_wrong_kind_is_named_before_the_folder_is_begun(tmp_path, wrong, message):
    given = {"step": GreyStep(Grey()), "source": SOURCE, "settings": settings()} | wrong
    with pytest.raises(TypeError, match=message):
        train(**given, folder=tmp_path / "run", transform=TRANSFORM)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: dict(result.losses), "a step's forward must return a StepResult, got a dict"),
        (lambda result: result._replace(losses={"loss": result.losses["total"]}), "one called total, .* got loss"),
        (lambda result: result._replace(losses={**result.losses, "epoch": result.losses["total"]}), "got epoch"),
        (lambda result: result._replace(losses={**result.losses, "hair": 0.5}), "scalar tensors, got a float for hair"),
        (
            lambda result: result._replace(losses={"total": result.losses["total"][None]}),
            r"got one of shape \(1,\) for",
        ),
    ],
)
def test_what_a_step_must_return_is_said(tmp_path, change, message):
    with pytest.raises(TrainingError, match=message):
        train(Returning(change), SOURCE, settings(), tmp_path, transform=TRANSFORM)


def test_losses_stand_below_their_names_whatever_their_order(tmp_path):
    chosen = settings(log_every=1)
    train(Sometimes(Convolutions(), range(1, 7)), SOURCE, chosen, tmp_path, transform=TRANSFORM)
    with (tmp_path / "log.csv").open() as file:
        assert [row["hair"] for row in csv.DictReader(file)] == ["8"] * 6


def test_tensorboard_gets_what_the_files_get(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def close(self):
            written.append("closed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    chosen, step = settings(iterations=4, tensorboard=True), ConvolutionStep(Convolutions())
    train(step, SOURCE, chosen, tmp_path, transform=TRANSFORM, validation=type(SOURCE)(size=40, length=1))
    assert written[0] == (str(tmp_path / "tensorboard"), 1)
    assert written[-1] == "closed"
    assert {("training/total", 2), ("training/total", 4), ("validation/SAD", 4)} <= set(written[1:-1])


def test_tensorboard_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        train(ConvolutionStep(Convolutions()), SOURCE, settings(tensorboard=True), tmp_path, transform=TRANSFORM)


@pytest.mark.parametrize(("length", "share", "kept"), [(40, 0.05, 2), (2, 0.9, 1), (10, 0.01, 1), (7, 0.5, 4)])
def test_hold_out_parts_a_source(length, share, kept):
    source = type(SOURCE)(seed=0, size=32, length=length)
    training, validation = hold_out(source, share)
    assert len(validation) == kept
    assert sorted(training.indices + validation.indices) == list(range(length))
    assert validation(0, None).name == source(validation.indices[0], None).name


def picture(path, mode):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, (8, 8)).save(path)
    return path


def composites(root, foregrounds, each):
    """Foregrounds over backgrounds, as pairs that are given and as folders."""
    cutouts = [picture(root / "fg" / f"{k}.png", "RGBA") for k in range(foregrounds)]
    alphas = [picture(root / "alpha" / path.name, "L") for path in cutouts]
    behind = picture(root / "bg" / "one.png", "RGB")
    fixed = FixedComposites(pair_up(cutouts, alphas, [behind] * foregrounds * each, each=each))
    return fixed, CompositeFolders(root / "fg", root / "bg", backgrounds_each=each)


def test_no_foreground_is_trained_on_and_held_out(tmp_path):
    fixed, folders = composites(tmp_path, foregrounds=10, each=3)
    mixed = Mix([fixed, MergeForegrounds(folders)])  # of the same files
    for source in (fixed, folders, mixed, Part(mixed, range(30, 60))):
        parts = hold_out(source, 0.2)
        assert sorted(parts[0].indices + parts[1].indices) == list(range(len(source)))
        # the fixed ones are called by foreground and background
        left, kept = ({name_of(source, i).partition("_")[0] for i in part.indices} for part in parts)
        assert not left & kept
        assert (len(left), len(kept)) == (8, 2)
        assert len({group_of(parts[0], k) for k in range(len(parts[0]))}) == len(left)


def test_no_photo_that_comes_twice_is_trained_on_and_held_out(tmp_path, monkeypatch):
    """A folder that is named twice, to weigh more; its photos were trained on and validated on."""
    monkeypatch.chdir(tmp_path)
    for folder in ("people", "animals"):
        write_samples(type(SOURCE)(size=16, length=6), tmp_path / folder)
    (tmp_path / "link").symlink_to("people")
    folders = ["people", tmp_path / "people", "animals", "link"]
    for share in (0.05, 0.2, 0.4, 0.9):
        parts = hold_out(Mix([open_folder(folder) for folder in folders]), share)
        left, kept = ({(i // 6 == 2, i % 6) for i in part.indices} for part in parts)
        assert not left & kept
        assert len(kept) == max(1, min(round(12 * share), 11))  # of the two folders' photos


def test_one_foreground_alone_cannot_be_held_out(tmp_path):
    with pytest.raises(ValueError, match=r"at least two samples .* got 1 of 1: give a validation source"):
        hold_out(type(SOURCE)(length=1), 0.5)
    for source in composites(tmp_path, foregrounds=1, each=4):
        with pytest.raises(ValueError, match="not of one foreground, to hold some out, got 4 of 1"):
            hold_out(source, 0.5)
