"""What `predict` makes of a trimap or a mask, which maps it returns, and views that are averaged."""

import copy
import functools
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d

from mattekit import trimap as trimaps
from mattekit.blocks import ConvFusion, DetailFusion, ReplaceFusion, SoftFusion
from mattekit.inference import Augmentation, Prediction, predict, predict_windowed, prepare
from oracles.networks import lively, small

SIZE = (45, 70)  # neither side is a multiple of 32: the network sees 32×64


class Output(NamedTuple):
    alpha: torch.Tensor


class Smooth(nn.Module):
    """A fusion by hand, which looks at its neighbours and does not say so."""

    def forward(self, semantic_logits, detail):
        return avg_pool2d(ReplaceFusion()(semantic_logits, detail), 5, 1, 2)


FUSIONS = [ReplaceFusion, ConvFusion, DetailFusion, SoftFusion, Smooth]


prepared = functools.cache(prepare)


def photo(size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@functools.cache
def network(fusion=ReplaceFusion):
    torch.manual_seed(0)
    model = lively(small())
    model.fusion = fusion()
    return model.eval()


def made(values, size=SIZE, seed=0):
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), size)


@st.composite
def trimaps_of(draw, size=SIZE):
    """Scattered, in blocks, all of one value."""
    block = draw(st.sampled_from([1, 7, 1000]))
    rows, columns = (-(-side // block) for side in size)
    coarse = made(draw(st.sampled_from([(0, 128, 255), (0, 255), (128,)])), (rows, columns), draw(st.integers(0, 99)))
    return coarse.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]]


@functools.cache
def expected_unknown(model):
    """The fusion of the detail map, where transition is certain, brought to the photo's size by OpenCV."""
    image = torch.from_numpy(cv2.resize(photo(), (64, 32), interpolation=cv2.INTER_LINEAR))
    with torch.inference_mode():
        detail = model(image.permute(2, 0, 1)[None].float() / 255).detail
        logits = torch.full((1, 3, 32, 64), -1e4)
        logits[:, 1] = 1e4
        alpha = model.fusion(logits, detail)[0, 0].numpy()
    return cv2.resize(alpha, SIZE[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("fusion", FUSIONS)
@settings(max_examples=5)
@given(data=st.data())
def test_known_pixels_are_as_given_and_the_detail_map_decides_the_rest(fusion, data):
    model, trimap = network(fusion), data.draw(trimaps_of())
    run = data.draw(
        st.sampled_from(
            [
                lambda: predict(model, photo(), trimap=trimap),
                lambda: predict(prepared(model), photo(), trimap=trimap),
                lambda: predict(prepared(model), photo(), trimap=trimap, max_memory=5_000_000),
                lambda: predict_windowed(prepared(model), photo(), window=40, trimap=trimap),
                lambda: predict(nn.DataParallel(model), photo(), trimap=trimap),
            ]
        )
    )
    alpha = run()
    assert (alpha[trimap == 255] == 1).all()
    assert (alpha[trimap == 0] == 0).all()
    unknown = trimap == 128
    # 2e-5: folded batch norms, twice through float32
    np.testing.assert_allclose(alpha[unknown], expected_unknown(model)[unknown], rtol=0, atol=2e-5)
    assert alpha.dtype == np.float32


@pytest.mark.parametrize("fusion", FUSIONS[:4])
def test_the_semantic_map_has_no_say(fusion):
    """A network that takes everything for background follows the trimap all the same."""
    model = copy.deepcopy(network(fusion))
    trimap = made((0, 128, 255))
    before = predict(model, photo(), trimap=trimap)
    with torch.no_grad():
        model.context.head[-1].bias += torch.tensor([-50.0, -50.0, 50.0])
    np.testing.assert_array_equal(predict(model, photo(), trimap=trimap), before)
    assert fusion is DetailFusion or predict(model, photo()).max() < 0.5


def test_tensors_and_arrays_of_a_trimap():
    model, trimap = network(), made((0, 128, 255))
    as_tensor = torch.from_numpy(trimap)[None, None]
    np.testing.assert_array_equal(
        predict(model, photo(), trimap=as_tensor), predict(model, photo(), trimap=np.asfortranarray(trimap))
    )


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_a_mask_becomes_a_trimap_of_a_band_along_its_edge(kind):
    mask = np.zeros(SIZE, np.uint8)
    mask[10:35, 20:60] = 1
    band = 1  # 45 / 32, rounded
    trimap = np.full(SIZE, 128, np.uint8)
    trimap[10 + band : 35 - band, 20 + band : 60 - band] = 255
    far = np.ones(SIZE, bool)
    far[10 - band : 35 + band, 20 - band : 60 + band] = False
    trimap[far] = 0
    model = network()
    given = mask * 255 if kind is np.uint8 else mask.astype(kind)
    alpha = predict(model, photo(), mask=given)
    np.testing.assert_array_equal(alpha, predict(model, photo(), trimap=trimap))
    as_tensor = torch.from_numpy(given)[None, None]
    np.testing.assert_array_equal(alpha, predict(model, photo(), mask=as_tensor))
    if kind is np.float32:  # NumPy has no bfloat16
        np.testing.assert_array_equal(alpha, predict(model, photo(), mask=as_tensor.bfloat16()))


def test_what_is_no_trimap_or_mask_of_the_photo():
    model, trimap = network(), made((0, 128, 255))
    with pytest.raises(ValueError, match="give trimap or mask, got both"):
        predict(model, photo(), trimap=trimap, mask=trimap > 0)
    with pytest.raises(TypeError, match=r"trimap must be a numpy.ndarray or a torch.Tensor, got str"):
        predict(model, photo(), trimap="trimap.png")
    for name in ("trimap", "mask"):
        message = rf"{name} must have the photo's height and width, in shape \(45, 70\), got \(70, 45\)"
        with pytest.raises(ValueError, match=message):
            predict(model, photo(), **{name: trimap.T})
        with pytest.raises(ValueError, match=rf"{name} must have .* shape \(1, 1, 45, 70\), got \(45, 70\)"):
            predict(model, photo(), **{name: torch.from_numpy(trimap)})
    with pytest.raises(ValueError, match="trimap must hold only 0, 128 and 255, got 127"):
        predict(model, photo(), trimap=np.full(SIZE, 127, np.uint8))
    with pytest.raises(TypeError, match="trimap must be uint8"):
        predict(model, photo(), trimap=trimap.astype(int))


def test_models_without_two_maps_cannot_follow_a_trimap():
    with pytest.raises(TypeError, match=r"model must be a PPMatting or a prepared one .* follow a trimap or mask"):
        predict(nn.Identity(), photo(), trimap=made((128,)))
    model = copy.deepcopy(network())
    model.register_forward_hook(lambda module, args, result: result._replace(alpha=1 - result.alpha))
    with pytest.raises(TypeError, match="model must run by PPMatting's own methods, without hooks on itself"):
        predict(model, photo(), trimap=made((128,)))


@pytest.mark.parametrize("size", [(32, 64), SIZE])
@pytest.mark.parametrize("window", [None, 40])
def test_maps_are_the_networks_own(size, window):
    model = network()
    trimap = made((0, 128, 255), size)
    for hint in (None, trimap):
        if window is None:
            maps = predict(model, photo(size), trimap=hint, return_maps=True)
            alpha = predict(model, photo(size), trimap=hint)
        else:
            maps = predict_windowed(prepared(model), photo(size), window=window, trimap=hint, return_maps=True)
            alpha = predict_windowed(prepared(model), photo(size), window=window, trimap=hint)
        assert isinstance(maps, Prediction)
        np.testing.assert_array_equal(maps.alpha, alpha)
        image = torch.from_numpy(cv2.resize(photo(size), (64, 32))).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            output = model(image)
        detail = cv2.resize(output.detail[0, 0].numpy(), size[::-1])
        semantic = cv2.resize(output.semantic_logits.softmax(1)[0].permute(1, 2, 0).numpy(), size[::-1])
        np.testing.assert_allclose(maps.detail, detail, rtol=0, atol=1e-5)
        np.testing.assert_allclose(maps.semantic, semantic.transpose(2, 0, 1), rtol=0, atol=1e-5)
        assert {x.dtype for x in maps} == {np.dtype(np.float32)}
        assert trimaps.from_semantic(maps.semantic).shape == size


def test_models_without_maps_return_none():
    class Alone(nn.Module):
        def forward(self, image):
            return Output(image[:, :1])

    with pytest.raises(TypeError, match=r"model must return detail and semantic_logits .* got no detail"):
        predict(Alone(), photo(), return_maps=True)


class Left(nn.Module):
    """A network whose matte is the red channel, but for its left half, which is empty."""

    def forward(self, image):
        alpha = image[:, :1].clone()
        alpha[..., : alpha.shape[-1] // 2] = 0
        return Output(alpha)


def test_flipped_views_are_averaged():
    image = photo((32, 64))
    red = image[..., 0].astype(np.float32) / 255
    np.testing.assert_allclose(predict(Left(), image, augment=Augmentation()), red / 2, rtol=0, atol=1e-7)


@given(seed=st.integers(0, 9))
@settings(max_examples=2)
def test_a_mirrored_photo_has_the_mirrored_matte(seed):
    model, image = network(), photo((32, 64), seed)
    alpha = predict(model, image, augment=Augmentation())
    np.testing.assert_array_equal(predict(model, image[:, ::-1], augment=Augmentation()), alpha[:, ::-1])


def test_the_mean_of_many_views_stays_within_0_and_1():
    """Ten tenths of 1 are 1.0000001 in float32."""

    class White(nn.Module):
        def forward(self, image):
            return Output(torch.ones_like(image[:, :1]))

    assert predict(White(), photo((64, 64)), augment=Augmentation(scales=(1,) * 5)).max() == 1


def test_views_of_other_sizes_are_averaged():
    seen = []

    class Sizes(nn.Module):
        def forward(self, image):
            seen.append(tuple(image.shape[-2:]))
            return Output(torch.full_like(image[:, :1], image.shape[-1] / 1000))

    augment = Augmentation(flip=False, scales=(0.5, 1, 2))
    alpha = predict(Sizes(), photo((300, 400)), max_short_side=150, augment=augment)
    assert seen == [(64, 96), (128, 192), (288, 384)]  # halves and doubles of 150×200, before multiples of 32
    np.testing.assert_allclose(alpha, (0.096 + 0.192 + 0.384) / 3, rtol=0, atol=1e-6)


def test_views_and_a_trimap_and_windows_together():
    model, trimap = network(), made((0, 128, 255))
    augment = Augmentation(scales=(1, 1.5))
    maps = predict(model, photo(), trimap=trimap, augment=augment, return_maps=True)
    assert (maps.alpha[trimap == 255] == 1).all()
    np.testing.assert_allclose(maps.alpha[trimap == 128], maps.detail[trimap == 128], rtol=0, atol=1e-6)
    windowed = predict_windowed(prepared(model), photo(), window=40, trimap=trimap, augment=augment, return_maps=True)
    for actual, expected in zip(windowed, maps, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)


def test_views_that_there_cannot_be():
    with pytest.raises(ValueError, match="scales must have one number at least, got none"):
        Augmentation(scales=())
    with pytest.raises(ValueError, match="scales must be positive, got 0"):
        Augmentation(scales=(1, 0))
    with pytest.raises(TypeError, match=r"scales must be a sequence of numbers, got 0\.5"):
        Augmentation(scales=0.5)  # pyright: ignore[reportArgumentType]


def test_a_photo_and_its_trimap_stay_as_they_were():
    model, trimap, image = network(), made((0, 128, 255)), photo((32, 64))
    trimap = trimap[:32, :64]
    before = trimap.copy(), image.copy()
    predict(model, image, trimap=trimap, augment=Augmentation())
    np.testing.assert_array_equal(trimap, before[0])
    np.testing.assert_array_equal(image, before[1])
