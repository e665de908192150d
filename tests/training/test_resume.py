"""A run that is killed at any moment, and resumed, is the run that was left alone."""

import csv
import dataclasses
import functools
import re
import subprocess
import sys
import threading
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mattekit.data import PairFolder, SyntheticMattes, collate, paper_transform, write_samples
from mattekit.training import TrainingError, fingerprint, train
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, Dropping, network, settings

TIMINGS = ("images_per_second", "waiting_for_data")


def run(
    folder, source=SOURCE, resume=False, transform=TRANSFORM, validation=None, step=None, collate=collate, **changes
):
    step = ConvolutionStep(Convolutions()) if step is None else step
    options = {"transform": transform, "collate": collate, "validation": validation, "resume": resume}
    train(step, source, settings(**changes), folder, **options)
    return step


def without_layers(samples, **options):
    return collate([dataclasses.replace(sample, foreground=None, background=None) for sample in samples], **options)


def log(folder):
    with (folder / "log.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMINGS} for row in csv.DictReader(file)]


def assert_equal(first, second, path=""):
    """Everything in a checkpoint, to the bit."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_equal(first[key], second[key], f"{path}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_equal(*pair, f"{path}.{index}")
    else:
        assert first == second, path


def state(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def test_killed_at_any_moment(tmp_path):
    """Real kills, five of them, of a run with dropout, a moving average, accumulation and validation."""
    command = [sys.executable, "-m", "training.kill_and_resume", tmp_path, "5", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) >= 3, "the kills must meet the run at several of its 30 iterations"
    assert_equal(state(tmp_path / "alone"), state(tmp_path / "killed"))
    assert log(tmp_path / "alone") == log(tmp_path / "killed")
    for name in ("validation.csv", "settings.toml"):
        assert (tmp_path / "alone" / name).read_text() == (tmp_path / "killed" / name).read_text()
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert not {name for name in left if name.endswith(".part")}


class Interrupted:
    """A source that is interrupted at its nth sample."""

    def __init__(self, after):
        self.after = after
        self.fingerprint = "the same"

    def __len__(self):
        return len(SOURCE)

    def __call__(self, index, rng):
        self.after -= 1
        if self.after < 0:
            raise KeyboardInterrupt
        return SOURCE(index, rng)


def test_pp_matting_resumes_too(tmp_path):
    options = {"iterations": 4, "checkpoint_every": 2, "precision": "bfloat16", "optimiser": "adamw", "clip": 1}
    run(tmp_path / "alone", Interrupted(100), step=Dropping(network()), **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", Interrupted(10), step=Dropping(network()), **options)
    assert state(tmp_path / "broken")["progress"]["iteration"] == 2
    run(tmp_path / "broken", Interrupted(100), step=Dropping(network()), resume=True, **options)
    assert_equal(state(tmp_path / "alone"), state(tmp_path / "broken"))


def test_another_run_is_refused_by_name(tmp_path):
    run(tmp_path / "run", iterations=2)
    before = state(tmp_path / "run")

    def refused(what, **changes):
        with pytest.raises(TrainingError, match=what):
            run(tmp_path / "run", resume=True, **{"iterations": 2, **changes})

    refused("batch_size is 2, was 4", batch_size=2)
    refused("iterations is 3, was 2", iterations=3)
    refused("learning_rate is 0.1, was 0.01", learning_rate=0.1)
    refused("data is '.*', was '.*'$", source=SyntheticMattes(seed=4, size=40, length=10))
    refused("transform is", transform=type(TRANSFORM)(64))
    refused("validation data is", validation=SOURCE)
    refused("collate is", collate=without_layers)
    with_head, frozen = (ConvolutionStep(Convolutions()) for _ in range(2))
    with_head.head = torch.nn.Conv2d(1, 1, 1)
    refused(r"state.pt is of another run, .*: the step has other parameters: (.|\n)*head.weight", step=with_head)
    frozen.model.layers[0].requires_grad_(False)
    refused("state.pt is of another run, .*: the step has other parameters: loaded state", step=frozen)
    with pytest.raises(TrainingError, match="holds a run already"):
        run(tmp_path / "run", iterations=2)
    assert_equal(state(tmp_path / "run"), before)
    run(tmp_path / "run", resume=True, iterations=2, workers=1, log_every=1)  # nothing depends on these


def test_a_run_resumed_when_done_is_done(tmp_path):
    scores = run_scores(tmp_path / "run")
    assert scores.keys() == {"SAD", "MSE", "Grad", "Conn"}
    assert run_scores(tmp_path / "run", resume=True) == scores


def test_what_a_killed_run_was_writing_is_deleted(tmp_path):
    parts = [tmp_path / f"{place}.0123456789abcdef.mattekit.part" for place in ("", "sheets/")]
    (tmp_path / "sheets").mkdir()
    for part in parts:
        part.write_bytes(b"half")
    run(tmp_path, resume=True, iterations=1)
    assert not any(part.exists() for part in parts)


def run_scores(folder, resume=False):
    validation = SyntheticMattes(seed=4, size=40, length=2)
    step, chosen = ConvolutionStep(Convolutions()), settings(iterations=2)
    return train(step, SOURCE, chosen, folder, transform=TRANSFORM, validation=validation, resume=resume)


def test_a_fingerprint_sees_files_and_ignores_their_place(tmp_path):
    for name in ("a", "b"):
        write_samples(SyntheticMattes(seed=1, size=32, length=2), tmp_path / name)
    first, second = (PairFolder(tmp_path / name / "image", tmp_path / name / "alpha") for name in ("a", "b"))
    assert fingerprint(first) == fingerprint(second)
    changed = next((tmp_path / "b" / "image").iterdir())
    changed.write_bytes(changed.read_bytes() + b"0")
    assert fingerprint(first) != fingerprint(second)


class Slots:
    __slots__ = ("side",)

    def __init__(self, side):
        self.side = side


class MadeFrom:
    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return MadeFrom, (self.array,)


class Items(list):
    def __init__(self, items, side):
        super().__init__(items)
        self.side = side


class Named(dict):
    pass


def named(name):
    values = Named(a=1)
    values.name = name
    return values


def closing_over(side):
    def resized(photo, *, sharp=side > 4):
        return side

    return resized


def times(factor):
    def decorate(function):
        @functools.wraps(function)
        def multiplied(photo):
            return function(photo) * factor

        return multiplied

    return decorate(closing_over)


def default(side):
    return lambda photo, side=side: side


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: Items([1], 3), lambda: Items([1], 4)),
        (lambda: named("a"), lambda: named("b")),
        (lambda: closing_over(3), lambda: closing_over(4)),
        (lambda: default(3), lambda: default(4)),
        (lambda: times(3), lambda: times(4)),
        (lambda: Slots(3).__init__, lambda: Slots(4).__init__),
        (lambda: np.random.default_rng(0).normal, lambda: np.random.default_rng(1).normal),
        (lambda: {Slots(3), Slots(5)}, lambda: {Slots(3), Slots(4)}),
        (lambda: {Slots(3): 0}, lambda: {Slots(4): 0}),
        (lambda: range(90), lambda: range(10, 100)),
        (lambda: partial(int, base=2), lambda: partial(int, base=8)),
        (lambda: deque([1, 2]), lambda: deque([1, 3])),
        (lambda: re.compile("a+"), lambda: re.compile("b+")),
        (lambda: np.random.default_rng(0), lambda: np.random.default_rng(1)),
        (lambda: torch.float32, lambda: torch.float64),
        (lambda: Slots(3), lambda: Slots(4)),
        (lambda: MadeFrom(np.arange(3)), lambda: MadeFrom(np.arange(1, 4))),
        (lambda: {1: 2}.keys(), lambda: {2: 2}.keys()),
        (lambda: torch.nn.Parameter(torch.zeros(2)), lambda: torch.nn.Parameter(torch.ones(2))),
        (lambda: torch.zeros(2, dtype=torch.bfloat16), lambda: torch.ones(2, dtype=torch.bfloat16)),
    ],
)
def test_a_fingerprint_sees_what_shows_in_no_dict(first, second):
    assert fingerprint([first()]) == fingerprint([first()])
    assert fingerprint([first()]) != fingerprint([second()])


def test_a_fingerprint_ignores_the_place_of_files_that_are_keys():
    assert fingerprint({Path("a/cat.png"): 1}) == fingerprint({Path("b/cat.png"): 1})
    assert fingerprint({Path("a/cat.png"), "dog"}) == fingerprint({Path("b/cat.png"), "dog"})
    assert fingerprint({Path("a/cat.png")}) != fingerprint({Path("a/dog.png")})


class Node:
    """One of a tree, whose children know their parent."""

    def __init__(self, parent=None):
        self.parent, self.children = parent, set()
        self.walk = lambda: self.children


def test_what_holds_itself_is_told_once():
    root = Node()
    root.children.add(Node(root))
    assert len(fingerprint(root)) == 16


def test_a_function_may_take_what_is_not_set_yet():
    def resized():
        return side

    before = fingerprint(resized)
    side = 4
    assert fingerprint(resized) != before


def test_a_function_may_take_a_module():
    import zlib

    def packed(photo):
        return zlib.compress(photo)

    assert len(fingerprint(packed)) == 16


def test_fingerprints_stay_what_they_were():
    """People resume runs: these are the sums of commit 0ce3b55, and of a62f3b5."""
    assert fingerprint(SyntheticMattes(seed=1)) == "710116abf9d68749"
    assert fingerprint(paper_transform(512)) == "e2ba15c286c5ef8e"
    assert fingerprint([{"a": 1, 2: None}, {"b", 3}, np.sqrt, len]) == "3b5e24de11640074"


def test_what_cannot_tell_what_it_is_must_be_told():
    class Locked(Interrupted):
        def __init__(self):
            self.lock = threading.Lock()

    source = Locked()
    with pytest.raises(TypeError, match=r"lock cannot tell what it is \(.*\): give it an attribute fingerprint"):
        fingerprint(source)
    source.fingerprint = "mine"
    assert len(fingerprint(source)) == 16


def test_a_broken_checkpoint_is_named(tmp_path):
    run(tmp_path, iterations=2)
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=r"state\.pt is no checkpoint that can be read"):
        run(tmp_path, resume=True, iterations=2)
