"""`predict` in windows, under a limit of memory, and from threads."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from mattekit.inference import predict, predict_windowed, prepare
from mattekit.inference.windows import pixels_within, windows_of
from mattekit.models import Preprocessing
from oracles.networks import lively, small


def photo(height, width, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(("window", "context"), [(32, None), (50, None), (200, None), (50, 64)])
def test_windows_give_the_same_matte(prepared, window, context):
    model = lively(small(preprocessing=Preprocessing(context_short_side=context)))
    expected = predict(model, photo(130, 101))
    away = abs(predict_windowed(prepare(model) if prepared else model, photo(130, 101), window=window) - expected)
    assert (away > 1e-4).mean() < 1e-3  # ties of the argmax, spread by the resize to the photo's size


def test_a_limit_of_memory():
    model = lively(small())
    expected = predict(model, photo(300, 280))
    away = abs(predict(model, photo(300, 280), max_memory=12_000_000) - expected)
    assert (away > 1e-4).mean() < 1e-3
    with pytest.raises(ValueError, match=r"max_memory must be at least .* for 288×256 pixels, got 1,000"):
        predict(model, photo(300, 280), max_memory=1000)


@pytest.mark.parametrize("size", [(1, 1), (100, 7), (64, 1000), (333, 444)])
@pytest.mark.parametrize("pixels", [1, 1000, 10**6])
def test_windows_cover_each_pixel_once(size, pixels):
    count = np.zeros(size, int)
    for top, left, height, width in windows_of(size, pixels):
        assert height * width <= max(2 * pixels, 2)
        count[top : top + height, left : left + width] += 1
    assert (count == 1).all()


def test_more_memory_gives_larger_windows():
    assert pixels_within(10**9, (1000, 1000), tiled=True) > pixels_within(5 * 10**8, (1000, 1000), tiled=True)
    assert pixels_within(10**9, (1000, 1000), tiled=True) > pixels_within(10**9, (1000, 1000), tiled=False)


def test_other_models_cannot_run_in_windows():
    with pytest.raises(TypeError, match=r"model must be a PPMatting or a prepared one to run in windows .* got ReLU"):
        predict_windowed(nn.ReLU(), photo(64, 64))

    class Own(type(small())):
        def forward(self, image):
            return super().forward(image.flip(-1))

    own = small()
    own.__class__ = Own
    with pytest.raises(TypeError, match=r"model must run by PPMatting's own methods.* got Own"):
        predict_windowed(own, photo(64, 64))
    with pytest.raises(ValueError, match="window must be at least 32, got 31"):
        predict_windowed(small(), photo(64, 64), window=31)


def test_photos_of_16_bits():
    model = lively(small())
    eight = photo(64, 96)
    np.testing.assert_allclose(predict(model, eight.astype(np.uint16) * 257), predict(model, eight), rtol=0, atol=1e-5)


def test_threads_share_a_model_in_training_mode():
    """None of them moves a statistic, sees training mode, or leaves the model in another mode."""
    model = small().train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    expected, mattes = predict(model, photo(64, 64)), []
    threads = [threading.Thread(target=lambda: mattes.append(predict(model, photo(64, 64)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mattes) == 6
    assert all(np.array_equal(matte, expected) for matte in mattes)
    assert all(module.training for module in model.modules())
    assert all(x.equal(before[name]) for name, x in model.state_dict().items())


def test_the_mode_of_a_model_in_evaluation_mode_is_not_touched():
    class Watched(nn.Module):
        def __setattr__(self, name, value):
            assert name != "training" or value, "set to evaluation mode"
            super().__setattr__(name, value)

        def forward(self, image):
            return small().eval()(image)

    model = Watched()
    vars(model)["training"] = False
    assert predict(model, photo(32, 32)).shape == (32, 32)


@pytest.mark.parametrize("fusion", ["replace", "conv", "detail"])
def test_every_fusion_runs_in_bfloat16(fusion):
    from mattekit.models import pp_matting

    model = pp_matting("hrnet_w18_small_v1", fusion=fusion).eval().bfloat16()
    with torch.inference_mode():
        assert {x.dtype for x in model(torch.rand(1, 3, 32, 32))} == {torch.float32}
