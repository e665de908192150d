"""Colour, cameras, RSSN and the paper's transform."""

import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mattekit import trimap
from mattekit.data import (
    RSSN,
    Compose,
    RandomApply,
    RandomBlur,
    RandomDistort,
    RandomDownscale,
    RandomFlip,
    RandomJpeg,
    RandomNoise,
    Sample,
    SyntheticMattes,
    compose,
    paper_transform,
)
from mattekit.data.loader import with_trimap
from mattekit.data.rssn import RSSNParams

PHOTO_ONLY = {"noise": RandomNoise(20), "jpeg": RandomJpeg(), "downscale": RandomDownscale((0.2, 0.5))}
ALL = {
    **PHOTO_ONLY,
    "distort": RandomDistort(probability=1),
    "blur": RandomBlur(),
    "rssn": RSSN(probability=1),
    "paper": paper_transform(64),
}


def synthetic(index=5, kind=np.uint8):
    sample = SyntheticMattes(seed=7, size=80)(index, np.random.default_rng(0))
    sample = replace(sample, trimap=trimap.from_alpha(sample.alpha, width=3))
    if kind == np.uint8:
        return sample
    pictures = {name: getattr(sample, name) for name in ("image", "foreground", "background")}
    return replace(sample, **{name: (picture / 255).astype(np.float32) for name, picture in pictures.items()})


def fields(sample):
    return {name: getattr(sample, name) for name in ("image", "alpha", "foreground", "background", "trimap")}


def residual(sample):
    alpha = sample.alpha[..., None].astype(np.float64)
    return np.abs(sample.image - (alpha * sample.foreground + (1 - alpha) * sample.background)).max()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_same_parameters_do_the_same(name, kind):
    sample, transform = synthetic(kind=kind), ALL[name]
    before = {key: value.copy() for key, value in fields(sample).items()}
    params = transform.draw(sample, np.random.default_rng(4))
    assert repr(params) == repr(transform.draw(sample, np.random.default_rng(4)))
    first, again = transform.apply(sample, params), transform.apply(sample, params)
    for key, value in fields(first).items():
        assert np.array_equal(value, fields(again)[key]), key
        assert value.dtype == before[key].dtype
        assert np.array_equal(before[key], fields(sample)[key]), f"{key} was written to"
    if kind == np.float32:
        assert 0 <= first.image.min() <= first.image.max() <= 1


@pytest.mark.parametrize("name", ["distort", "noise", "jpeg", "downscale", "rssn"])
def test_colour_leaves_alpha_and_trimap_alone(name):
    sample, transform = synthetic(), ALL[name]
    changed = transform.apply(sample, transform.draw(sample, np.random.default_rng(1)))
    assert changed.alpha is sample.alpha
    assert changed.trimap is sample.trimap
    assert not np.array_equal(changed.image, sample.image)


@pytest.mark.parametrize("name", PHOTO_ONLY)
def test_what_a_camera_does_leaves_the_layers_alone(name):
    sample, transform = synthetic(), ALL[name]
    changed = transform.apply(sample, transform.draw(sample, np.random.default_rng(1)))
    assert changed.foreground is sample.foreground
    assert changed.background is sample.background


def test_distortion_keeps_what_the_layers_make_where_nothing_is_clipped():
    rng = np.random.default_rng(0)
    distort = RandomDistort(brightness=0.2, contrast=0.2, saturation=0.2, probability=1)
    sample = synthetic(kind=np.float32)
    soft = {name: 0.4 + 0.2 * getattr(sample, name) for name in ("image", "foreground", "background")}
    sample = replace(sample, **soft)
    for _ in range(10):
        assert residual(distort.apply(sample, distort.draw(sample, rng))) <= residual(sample) * 2 + 1e-5


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_each_distortion_is_what_it_is_called(kind):
    one = 255 if kind == np.uint8 else 1
    sample = synthetic(kind=kind)
    sample = replace(sample, image=(sample.image * kind(1) / 2 + 0.2 * one).astype(kind))  # nothing to clip
    image = sample.image / one
    grey = image @ [0.299, 0.587, 0.114]

    def only(**range_of):
        ranges = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, **range_of}
        distort, rng = RandomDistort(**ranges, probability=1), np.random.default_rng(2)
        changed = distort.apply(sample, distort.draw(sample, rng)).image / one
        drawn = np.random.default_rng(2).uniform(-np.array(list(ranges.values())), np.array(list(ranges.values())))
        return changed, drawn

    step = 1.01 / one if kind == np.uint8 else 1e-5
    changed, drawn = only(brightness=0.1)
    assert np.abs(changed - image * (1 + drawn[0])).max() < step
    changed, drawn = only(contrast=0.2)
    assert np.abs(changed - (grey.mean() + (image - grey.mean()) * (1 + drawn[1]))).max() < step
    changed, drawn = only(saturation=0.2)
    assert np.abs(changed - (grey[..., None] + (image - grey[..., None]) * (1 + drawn[2]))).max() < step
    changed, drawn = only(hue=15)
    assert np.abs(changed.sum(-1) - image.sum(-1)).max() < 3 * step  # a turn about the axis of greys


def test_hue_turns_red_towards_yellow_as_colorsys_has_it():
    red = Sample(np.full((1, 1, 3), (0.6, 0.3, 0.3), np.float32), np.ones((1, 1), np.float32))
    distort = RandomDistort(brightness=0, contrast=0, saturation=0, hue=18, probability=1)
    for seed in range(5):
        angle = np.random.default_rng(seed).uniform([-0.0, 0, 0, -18], [0, 0, 0, 18])[3]
        changed = distort.apply(red, distort.draw(red, np.random.default_rng(seed))).image[0, 0]
        hue = colorsys.rgb_to_hsv(*changed.tolist())[0] * 360
        assert (hue + 180) % 360 - 180 == pytest.approx(angle, abs=2)  # the hexagon of HSV is no circle


def test_noise_has_the_deviation_that_is_drawn():
    flat = Sample(np.full((200, 200, 3), 128, np.uint8), np.ones((200, 200), np.float32))
    noise = RandomNoise(20)
    deviation, seed = noise.draw(flat, np.random.default_rng(3))
    found = noise.apply(flat, (deviation, seed)).image.astype(float)
    assert found.std() == pytest.approx(deviation, rel=0.02)  # 120,000 values
    assert abs(found.mean() - 128) < 0.2


def test_jpeg_is_opencvs():
    sample = synthetic()
    _, file = cv2.imencode(".jpg", sample.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert np.array_equal(RandomJpeg().apply(sample, 70).image, cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1])


def test_rssn_does_each_of_its_parts():
    sample, rssn = synthetic(), RSSN()
    assert rssn.apply(sample, RSSNParams(False, 0, None)).image.tolist() == sample.image.tolist()
    blurred = rssn.apply(sample, RSSNParams(False, 20, None))
    assert np.array_equal(blurred.background, cv2.blur(sample.background, (20, 20)))
    assert np.array_equal(blurred.foreground, sample.foreground)
    noisy = rssn.apply(sample, RSSNParams(False, 0, 5))
    grain = [noisy.foreground.astype(int) - sample.foreground, noisy.background.astype(int) - sample.background]
    inside = (np.abs(np.stack([sample.foreground, sample.background]).astype(int) - 128) < 80).all(0)
    assert np.abs(grain[0] - grain[1])[inside].max() == 0  # the same noise on both
    assert grain[0][inside].std() == pytest.approx(10, rel=0.1)
    denoised = rssn.apply(noisy, RSSNParams(True, 0, None))
    assert np.abs(denoised.background.astype(int) - sample.background).mean() < np.abs(grain[1]).mean()
    for changed in (blurred, noisy, denoised):
        assert residual(changed) <= 0.5 + 1e-4
    photo = Sample(sample.image, sample.alpha)
    assert rssn.apply(photo, RSSNParams(True, 20, 5)) is photo


def test_compose_does_one_after_another():
    sample = synthetic()
    halves = Compose([RandomFlip(1), RandomFlip(1)])
    assert np.array_equal(halves.apply(sample, halves.draw(sample, np.random.default_rng(0))).image, sample.image)


def test_apply_does_it_as_often_as_it_says():
    sometimes = RandomApply(RandomFlip(1), 0.25)
    sample, rng = synthetic(), np.random.default_rng(0)
    done = [sometimes.draw(sample, rng) is not None for _ in range(400)]
    assert sum(done) == pytest.approx(100, abs=35)  # four standard deviations
    assert sometimes.apply(sample, None) is sample
    with pytest.raises(ValueError, match="probability must be from 0 to 1"):
        RandomApply(RandomFlip(), 1.5)


def test_plain_functions_are_no_transforms():
    with pytest.raises(TypeError, match=r"transforms\[1\] must have draw and apply, .* got a builtin_function"):
        Compose([RandomFlip(), abs])
    with pytest.raises(TypeError, match=r"transform must have draw and apply, .* got a builtin_function"):
        RandomApply(abs, 0.5)


@pytest.mark.parametrize("size", [(40, 200), (64, 64), (300, 300), (10, 10), (2000, 70)])
def test_the_papers_transform_takes_any_photo(size):
    sample = Sample(np.zeros((*size, 3), np.uint8), np.full(size, 0.5, np.float32))
    transform = paper_transform(64)
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert transform.apply(sample, transform.draw(sample, rng)).size == (64, 64)


def test_the_papers_crops_have_the_known_foreground_of_paddleseg():
    """PaddleSeg calls all from 254.5/255 on foreground, which some averages along an edge are too."""
    rows, columns = np.mgrid[:300, :300]
    disc = (np.hypot(rows - 150, columns - 150) < 120).astype(np.float32)
    sample = compose(np.full((300, 300, 3), 200, np.uint8), disc, np.full((300, 300, 3), 90, np.uint8))
    transform = paper_transform(128)
    for seed in range(12):
        moved = transform.apply(sample, transform.draw(sample, np.random.default_rng(seed)))
        paddleseg = replace(moved, alpha=np.where(moved.alpha >= np.float32(254.5 / 255), np.float32(1), moved.alpha))
        found, expected = (
            (with_trimap(one, trimap.PADDLESEG_KERNELS, np.random.default_rng(0)).trimap == trimap.FOREGROUND).sum()
            for one in (moved, paddleseg)
        )
        assert found >= 0.95 * expected > 500


def test_the_papers_crops_are_its_own():
    assert paper_transform().transforms[0].sizes == (512, 640, 800)
    assert paper_transform(64, crops=[100]).transforms[0].sizes == (100,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomJpeg((90, 10)), "quality must be"),
        (lambda: RandomJpeg((50.5, 60)), "quality must be"),
        (lambda: RandomJpeg(50), "quality must be"),
        (lambda: RandomDownscale(0.5), "scale must be"),
        (lambda: RandomDistort(brightness=float("nan")), "brightness must not be negative, got nan"),
        (lambda: RandomDownscale((0.5, 2)), "scale must be"),
        (lambda: RandomNoise(-1), "largest must not be negative"),
        (lambda: RSSN(blurs=()), "blurs must be positive"),
        (lambda: RandomDistort(probability=2), "probability must be from 0 to 1"),
        (lambda: paper_transform(0), "size must be positive"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
