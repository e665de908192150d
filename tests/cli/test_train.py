"""``mattekit train`` and ``mattekit ablate``: what they take, print and return."""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import PureWindowsPath

import pytest
import torch

from mattekit import checkpoints, cli
from mattekit.cli.train import predicting_with
from mattekit.data import SyntheticMattes, write_samples
from mattekit.models import pp_matting
from mattekit.training import Settings, TrainingError, ablate, pp_matting_step
from training.tiny import network

QUICK = ("--size", "32", "--batch-size", "2", "--workers", "0", "--iterations", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_samples(SyntheticMattes(seed=5, size=32, length=6), folder)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.save(network(), path)
    return path


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_the_suggested_command_works_on_windows():
    """Its cmd takes single quotes for a part of the name."""
    command = predicting_with(PureWindowsPath(r"C:\run\best.safetensors"))
    assert command == "mattekit predict PHOTO --weights C:/run/best.safetensors"


OTHER_STARTS = ("--learning-rate", "0.001"), ("--encoder", "hrnet_w18_small_v1")


@pytest.mark.parametrize("options", [(), ("--resume",), *OTHER_STARTS])
def test_the_rate_of_imagenet_is_named_where_weights_are_trained_on(
    data, weights, tmp_path, monkeypatch, capsys, options
):
    monkeypatch.setattr("mattekit.training.train", lambda *arguments, **others: {})
    start = () if "--encoder" in options else ("--weights", weights)
    assert call("train", data, "--out", tmp_path / "run", *start, *options, *QUICK) == 0
    said = "the learning rate is 0.01, which is for a start from ImageNet" in capsys.readouterr().err
    assert said == (options in [(), ("--resume",)])  # there is no run to resume yet


def test_train_resume_and_freeze(data, weights, tmp_path, capsys):
    out = tmp_path / "a run"
    arguments = ("train", data, "--out", out, "--weights", weights, "--freeze", "encoder", *QUICK)
    assert call(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("trained 2 iterations; validation: SAD ")
    assert f"next: mattekit predict PHOTO --weights '{out}/best.safetensors'" in captured.out
    assert "2/2" in captured.err
    before, after = network().state_dict(), pp_matting(weights=out / "last.safetensors").state_dict()
    changed = {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"context", "detail"}

    assert call(*arguments) == 2
    assert "holds a run already: resume it, or take another folder" in capsys.readouterr().err
    assert call("train", data, "--out", out, "--resume", "--quiet") == 0  # its settings are the run's own
    assert not capsys.readouterr().err
    assert call("train", data, "--out", out, "--resume", "--batch-size", "4") == 2
    assert "batch_size is 4, was 2" in capsys.readouterr().err


def test_what_does_not_begin(data, tmp_path, capsys):
    def refused(message, *arguments):
        assert call("train", *arguments, "--out", tmp_path / "run") == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()

    refused("name a folder of photos and mattes")
    refused("no folder:", tmp_path / "nothing")
    refused("size must be at least 32, got 16", data, "--size", "16")
    refused("encoder must be one of", data, "--encoder", "hrnet_w19", *QUICK)
    (tmp_path / "bad.toml").write_text("iteration = 3")
    refused("there is no setting 'iteration': did you mean 'iterations'?", data, "--config", tmp_path / "bad.toml")
    refused("holdout must be above 0", data, "--holdout", "0")
    refused("encoder must be one of", data, "--encoder", "hrnet_w19", "--print-config")


def test_batch_norms_want_two_images_a_process(data, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    command = ("train", data, "--weights", weights, "--out", tmp_path / "run", *QUICK, "--batch-size")
    rule = "batch_size must be at least {}: batch norms that are trained need two images a process, got {}"
    assert call(*command, 1) == 2
    assert rule.format(2, 1) in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert call(*command, 2) == 2
    assert rule.format(4, 2) in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # they see the whole batch there
    assert len(pp_matting_step(Settings(weights=str(weights), batch_size=2)).loss_weights) == 3


def test_print_config_is_what_config_reads(tmp_path, capsys):
    assert call("train", "--print-config", "--iterations", "9", "--guidance", "5") == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed)["guidance"] == [5]
    (tmp_path / "run.toml").write_text(printed)
    assert call("ablate", "--print-config", "--config", tmp_path / "run.toml") == 0
    assert capsys.readouterr().out == printed


def test_a_run_that_stops_says_so(data, weights, tmp_path, monkeypatch, capsys):
    def stops(*arguments, **options):
        raise TrainingError("iteration 7 stopped")

    monkeypatch.setattr("mattekit.training.train", stops)
    assert call("train", data, "--weights", weights, "--out", tmp_path, *QUICK) == 1
    assert "mattekit train: iteration 7 stopped" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="this system has no SIGCHLD")
def test_a_signal_may_end_the_workers_too(data, weights, tmp_path, monkeypatch, capsys):
    """As `timeout` does, which signals the whole group: torch then complains of workers, wherever Python is."""

    def complain(signum, frame):
        raise RuntimeError("DataLoader worker (pid 3906) is killed by signal: Terminated.")

    def train(*args, **kwargs):
        signal.signal(signal.SIGCHLD, complain)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGCHLD)

    monkeypatch.setattr("mattekit.training.train", train)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        assert call("train", data, "--weights", weights, "--learning-rate", "0.1", "--out", tmp_path / "run") == 143
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert capsys.readouterr().err == "mattekit: stopped by SIGTERM\n"


def test_the_parser_imports_no_torch():
    script = (
        "import sys; from mattekit import cli; cli.main(['train', '--print-config']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_ablate_prints_the_tables(data, tmp_path, monkeypatch, capsys):
    """The rows are trained with their own guidance and fusion, each once, and not again."""
    asked = []

    def trains(step, source, settings, folder, **options):
        asked.append((settings.guidance, settings.fusion, settings.seed, options["resume"]))
        assert folder.name == f"seed-{settings.seed}"
        return {"SAD": len(settings.guidance) + settings.seed, "MSE": 0.01, "Grad": 1.0, "Conn": 2.0}

    def ablates(*arguments, **options):
        return ablation(*arguments, **options, make_step=lambda settings: None)

    ablation = ablate
    monkeypatch.setattr("mattekit.training.ablation.train", trains)
    monkeypatch.setattr("mattekit.training.ablation.ablate", ablates)
    assert call("ablate", data, "--out", tmp_path, "--seeds", "0", "1", *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("Table 3", "w/o GF", "5", "1, 3, 5", "1, 2, 3, 4, 5", ""),
        *("Table 4", "w/o FM", "Conv FM", "Rep FM"),
    ]
    assert lines[1].split()[2:5] == ["0.5", "±", "0.71"]  # the mean and the standard deviation of 0 and 1
    assert lines[3].removeprefix("1, 3, 5").strip() == lines[9].removeprefix("Rep FM").strip()
    guidances = [(), (5,), (1, 3, 5), (1, 2, 3, 4, 5)]
    rows = [(guidance, "replace") for guidance in guidances] + [((1, 3, 5), "detail"), ((1, 3, 5), "conv")]
    assert asked == [(*row, seed, True) for row in rows for seed in (0, 1)]


@pytest.mark.parametrize("option", ["--guidance", "--fusion"])
def test_ablate_takes_no_settings_that_are_its_rows_own(option, capsys):
    with pytest.raises(SystemExit):
        call("ablate", "data", option, "5")
    assert f"unrecognized arguments: {option} 5" in capsys.readouterr().err


def test_ablate_really_trains(data, tmp_path):
    """One table with one seed, by the library, on the smallest network; a second call trains nothing."""
    from mattekit.blocks import ConvFusion, DetailFusion, ReplaceFusion
    from mattekit.data import open_folder
    from mattekit.training import PPMattingStep
    from training.tiny import TRANSFORM, settings

    made = []

    def make(own):
        model = network(own.guidance)
        model.fusion = {"replace": ReplaceFusion, "conv": ConvFusion, "detail": DetailFusion}[own.fusion]()
        made.append(own)
        return PPMattingStep(model)

    source = open_folder(data)
    chosen = settings(iterations=1)
    options = {"tables": [4], "seeds": [0], "make_step": make, "transform": TRANSFORM}
    first = ablate(source, source, chosen, tmp_path, **options)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("state.pt")}
    assert len(written) == 3
    assert str(ablate(source, source, chosen, tmp_path, **options)) == str(first)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("state.pt")}
    assert json.dumps(first.scores)
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):  # before anything is trained
        ablate(source, source, chosen, tmp_path / "none", seeds=[0, -1], make_step=lambda own: pytest.fail("trained"))
    with pytest.raises(ValueError, match="tables must be 3, 4 or both"):
        ablate(source, source, chosen, tmp_path, tables=[5])
