"""Settings: the paper's values, TOML, and what is refused."""

import argparse
import dataclasses
import tomllib

import pytest

from mattekit.cli import settings as options
from mattekit.training import Settings, rate_factor


def test_the_defaults_are_section_4_2():
    paper = Settings()
    assert (paper.optimiser, paper.momentum, paper.weight_decay) == ("sgd", 0.9, 4e-5)
    assert (paper.learning_rate, paper.schedule, paper.power, paper.iterations) == (0.01, "poly", 0.9, 300_000)
    assert (paper.batch_size, paper.size, paper.loss_weights) == (4, 512, (1, 1, 1))
    assert (paper.encoder, paper.guidance, paper.fusion) == ("hrnet_w48", (1, 3, 5), "replace")


def test_toml_and_back(tmp_path):
    settings = Settings(
        encoder_weights='a "quoted" näme\x7f\x1f.pth', guidance=(), tensorboard=True, weight_decay=1e-7, ema=0.999
    )
    assert Settings.from_toml(settings.to_toml()) == settings
    (tmp_path / "run.toml").write_text(settings.to_toml(), encoding="utf-8")
    assert Settings.read(tmp_path / "run.toml") == settings
    assert len(tomllib.loads(Settings().to_toml())) == len(dataclasses.fields(Settings)) - 2  # both weights are not set


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("learning_rte = 0.1", "there is no setting 'learning_rte': did you mean 'learning_rate'"),
        ("xyzzy = 1", "there is no setting 'xyzzy': they are encoder, "),
        ("batch_size = 0", "batch_size must be positive, got 0"),
        ("batch_size = 2.5", "batch_size must be an integer, got 2.5"),
        ("batch_size = true", "batch_size must be an integer, got True"),
        ("momentum = 1", "momentum must be from 0 to below 1, got 1.0"),
        ("learning_rate = -1", "learning_rate must be positive"),
        ("learning_rate = nan", "learning_rate must be positive, got nan"),
        ("weight_decay = '1'", "weight_decay must be a number, got '1'"),
        ("optimiser = 'adam'", "optimiser must be one of 'sgd', 'adamw', got 'adam'"),
        ("freeze = 'all'", "freeze must be one of 'nothing', 'encoder'"),
        ("size = 16", "size must be at least 32, got 16"),
        ("guidance = 5", "guidance must be a list, got 5"),
        ("guidance = ['5']", "guidance must be "),
        ("loss_weights = [1, 2]", "loss_weights must be three numbers"),
        ("loss_weights = [1, nan, 1]", "loss_weights must be three numbers from 0 up, and finite"),
        ("loss_weights = [0, 0, 0]", "loss_weights must not all be 0, got (0.0, 0.0, 0.0)"),
        ("learning_rate = inf", "learning_rate must be finite, got inf"),
        ("power = inf", "power must be finite, got inf"),
        ("clip = inf", "clip must be finite, got inf"),
        ("encoder_rate = inf", "encoder_rate must be finite, got inf"),
        ("seed = 9223372036854775808", "seed must be at most 2**63 - 1, got 9223372036854775808"),
        ("guidance = [9]", "guidance must name blocks 1 to 5, each once and in order, got (9,)"),
        ("guidance = [1, 1]", "guidance must name blocks 1 to 5, each once and in order, got (1, 1)"),
        ("encoder = 'nonsense'", "encoder must be one of 'efficientnet_lite0', "),
        (
            "weights = 'a'\nencoder = 'hrnet_w18'",
            "encoder must be left out where weights are given: they bring their own",
        ),
        ("weights = 'a'\nguidance = [5]", "guidance must be left out where weights are given"),
        ("weights = 'a'\nfusion = 'conv'", "fusion must be left out where weights are given"),
        ("warm_up = 10\niterations = 10", "warm_up must be below iterations, got 10 and 10"),
        ("weights = 'a'\nencoder_weights = 'b'", "encoder_weights must be left out"),
        ("tensorboard = 1", "tensorboard must be true or false, got 1"),
        ("encoder = 1", "encoder must be a string, got 1"),
        ("size = ", "Invalid value"),
    ],
)
def test_what_is_impossible_is_named_with_its_file(tmp_path, toml, message):
    (tmp_path / "run.toml").write_text(toml)
    with pytest.raises(ValueError, match=r"run\.toml: ") as caught:
        Settings.read(tmp_path / "run.toml")
    assert message in str(caught.value)


def factors(**settings):
    chosen = Settings(**settings)
    return [rate_factor(chosen, iteration) for iteration in range(chosen.iterations)]


def test_schedules():
    """Values by hand."""
    assert factors(iterations=4, power=0.5) == pytest.approx([1, 0.75**0.5, 0.5**0.5, 0.5])
    assert factors(iterations=4, schedule="cosine", floor=0.2) == pytest.approx([1, 0.8828427, 0.6, 0.3171573])
    assert factors(iterations=4, schedule="constant", warm_up=2) == pytest.approx([0.5, 1, 1, 1])
    assert factors(iterations=6, power=1, warm_up=2) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(arguments)


def test_options_stand_over_the_file(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("iterations = 7\nema = 0.5\n")
    args = parsed(
        "--iterations", "9", "--guidance", "--loss-weights", "1", "2", "3", "--tensorboard", "--encoder-weights", "w"
    )
    chosen = options.chosen(args, config)
    expected = Settings(
        iterations=9, ema=0.5, guidance=(), loss_weights=(1, 2, 3), tensorboard=True, encoder_weights="w"
    )
    assert chosen == expected


def test_every_setting_has_an_option_that_says_what_it_is(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in shown
    assert "Side of the crops that the network sees, in pixels (default: 512)" in shown
