"""Batches: the same ones on any number of workers and processes, before and after a resume."""

import dataclasses
import itertools
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mattekit import trimap
from mattekit.data import (
    Compose,
    Loader,
    MergeForegrounds,
    Mix,
    Pad,
    Position,
    RandomCrop,
    RandomFlip,
    RandomNoise,
    Resize,
    Sample,
    SampleError,
    SyntheticMattes,
    open_folder,
    pair_up,
    paper_transform,
    sample_generator,
)
from mattekit.training import fingerprint, hold_out
from oracles.telling_source import Telling


class Drawn:
    """A source whose samples say what they are: the index in the red channel, a number drawn in the green one."""

    def __init__(self, length=10, bad=()):
        self.length = length
        self.bad = bad

    def __len__(self):
        return self.length

    def __call__(self, index, rng):
        if index in self.bad:
            raise OSError("cannot read it")
        image = np.zeros((6, 6, 3), np.uint8)
        image[..., 0] = index
        image[..., 1] = rng.integers(256)
        alpha = np.zeros((6, 6), np.float32)
        alpha[:, 3:] = 1
        return Sample(image, alpha, name=f"drawn {index}")


NOISY = Compose([RandomFlip(), RandomNoise(20)])


def batches(count=7, **options):
    settings = {"batch_size": 4, "seed": 3, **options}
    return list(itertools.islice(Loader(Drawn(), NOISY, **settings), count))


def indices(batch):
    return (batch.image[:, 0, 0, 0] * 255).round().int().tolist()


def assert_equal(first, second):
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 8])
def test_workers_change_nothing(workers):
    for alone, worked in zip(batches(), batches(workers=workers), strict=True):
        assert_equal(alone, worked)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_batches_out(world_size):
    ranks = [batches(rank=rank, world_size=world_size) for rank in range(world_size)]
    for whole, *shares in zip(batches(), *ranks, strict=True):
        assert torch.equal(whole.image, torch.cat([share.image for share in shares]))
        assert torch.equal(whole.trimap, torch.cat([share.trimap for share in shares]))
        assert {share.position for share in shares} == {whole.position}


def test_resuming_anywhere_goes_on():
    whole = batches()
    for done in range(1, 7):
        resumed = batches(7 - done, start=whole[done - 1].position)
        for expected, got in zip(whole[done:], resumed, strict=True):
            assert_equal(expected, got)


def test_the_global_generators_are_left_alone():
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    batches()
    batches(workers=1)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])


class FromGlobal(Drawn):
    """A source that draws from the global generators, as libraries of augmentations do."""

    def __call__(self, index, rng):
        drawn = f"{np.random.random()} {torch.rand(())}"
        return dataclasses.replace(super().__call__(index, rng), name=drawn)


def test_global_generators_of_workers_follow_seed_start_and_rank():
    """They gave the same numbers whatever the seed, and to each of the processes."""
    options = [{}, {"seed": 1}, {"rank": 1}, {"start": Position(0, 4)}]
    names = []
    for changed in [{}, *options]:
        loader = Loader(FromGlobal(), **{"batch_size": 2, "workers": 1, "world_size": 2, "epochs": 1, **changed})
        names.append(next(iter(loader)).names)
    assert names[0] == names[1]
    for part in (0, 1):  # NumPy's, and torch's
        assert len({name[0].split()[part] for name in names}) == len(options)


def test_an_epoch_takes_each_sample_once_in_an_order_of_its_own():
    names = [name for batch in batches(5) for name in batch.names]  # 20 samples: two epochs
    first, second = names[:10], names[10:]
    assert sorted(first) == sorted(second) == [f"drawn {index}" for index in range(10)]
    assert first != second


def test_another_epoch_draws_other_numbers():
    everything = torch.cat([batch.image[:, 1, 0, 0] for batch in batches(5, seed=1)])
    by_index = {}
    for name, value in zip([n for b in batches(5, seed=1) for n in b.names], everything.tolist(), strict=True):
        by_index.setdefault(name, set()).add(value)
    assert sum(len(values) == 2 for values in by_index.values()) >= 8


def test_a_sample_follows_from_seed_epoch_and_index_alone():
    loader = Loader(Drawn(), batch_size=1, seed=5, shuffle=False, start=Position(2, 6), epochs=3)
    for index, batch in zip(range(6, 10), loader, strict=True):
        assert indices(batch) == [index]
        drawn = int(sample_generator(5, 2, index).integers(256))
        assert round(float(batch.image[0, 1, 0, 0]) * 255) == drawn


def test_some_epochs_end_with_a_smaller_batch():
    found = list(Loader(Drawn(), batch_size=4, shuffle=False, epochs=1))
    assert [indices(batch) for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert found[-1].position == Position(1, 0)
    assert list(Loader(Drawn(), batch_size=4, epochs=1, start=Position(1, 0))) == []


def test_positions_tell_where_the_next_batch_begins():
    assert [batch.position for batch in batches(3)] == [Position(0, 4), Position(0, 8), Position(1, 2)]


def test_a_trimap_is_made_where_there_is_none():
    for batch in batches(2):
        assert batch.trimap.dtype == torch.uint8
        trimap.validate(batch.trimap)
    narrow = batches(1, kernels=trimap.RandomKernels(sizes=(3, 3)))[0].trimap
    assert (narrow[0, 0, 0] == trimap.UNKNOWN).sum() == 2  # one pixel on either side of the edge


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_the_sample(workers):
    loader = Loader(Drawn(bad=[7]), batch_size=5, shuffle=False, workers=workers)
    with pytest.raises(SampleError, match="sample 7 of epoch 0: OSError: cannot read it"):
        list(itertools.islice(loader, 2))


def test_an_error_of_the_transform_names_the_photo():
    class Failing:
        def draw(self, sample, rng):
            return None

        def apply(self, sample, params):
            raise ValueError("no")

    with pytest.raises(SampleError, match=r"sample 0 \(drawn 0\) of epoch 0: ValueError: no"):
        next(iter(Loader(Drawn(), Failing(), batch_size=1, shuffle=False)))


def test_a_sample_that_cannot_be_read_is_called_by_its_file(tmp_path):
    """By its name in the folder, though its number is that of what is trained on; the error names the file once."""
    for name in "abc":
        for folder, mode in (("image", "RGB"), ("alpha", "L")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new(mode, (40, 40)).save(tmp_path / folder / f"{name}.jpg")
    path = tmp_path / "image" / "c.jpg"
    path.write_bytes(path.read_bytes()[:-90])
    part = Mix([hold_out(open_folder(tmp_path), 0.3)[0]])
    assert len(part) == 2
    with pytest.raises(SampleError, match=rf"^sample 1 \(c\) of epoch 0: OSError: cannot read '{path}': ") as caught:
        next(iter(Loader(part, batch_size=2, shuffle=False)))
    assert str(caught.value).count("c.jpg") == 1


def test_bad_samples_are_skipped_if_asked():
    loader = Loader(Drawn(bad=[1]), batch_size=5, shuffle=False, skip_errors=True, epochs=1)
    first, second = loader
    assert indices(first) == [0, 2, 3, 4]
    assert first.skipped == ("sample 1 of epoch 0: OSError: cannot read it",)
    assert second.skipped == ()
    none, one = itertools.islice(Loader(Drawn(bad=[0]), batch_size=1, shuffle=False, skip_errors=True), 2)
    assert len(none) == 0
    assert none.skipped == ("sample 0 of epoch 0: OSError: cannot read it",)
    assert (none.position, one.position) == (Position(0, 1), Position(0, 2))
    assert none.image.dtype == one.image.dtype
    assert none.to("cpu").trimap.dtype == one.trimap.dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"batch_size": 3, "world_size": 2}, "batch_size must be a multiple of world_size, got 3 and 2"),
        ({"batch_size": 2, "world_size": 2, "rank": 2}, "rank must be below world_size"),
        ({"batch_size": 2, "workers": -1}, "workers must not be negative"),
        ({"batch_size": 2, "epochs": -1}, "epochs must not be negative"),
        ({"batch_size": 2, "start": Position(0, 10)}, "start must lie within an epoch of 10 samples"),
    ],
)
def test_impossible_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Loader(Drawn(), **options)
    with pytest.raises(ValueError, match="source must have at least one sample"):
        Loader(Drawn(0), batch_size=1)


@pytest.mark.parametrize("source", ["my-data", [1, 2], torch.utils.data.TensorDataset(torch.zeros(2))])
def test_what_is_no_source(source):
    message = rf"source must be a source, such as .*open_folder\(path\) gives, got a {type(source).__name__}"
    with pytest.raises(TypeError, match=message):
        Loader(source, batch_size=1)
    with pytest.raises(TypeError, match=message):
        MergeForegrounds(source)
    with pytest.raises(TypeError, match=message):
        hold_out(source, 0.5)
    with pytest.raises(TypeError, match=message.replace("source", r"sources\[1\]", 1)):
        Mix([Drawn(), source])


@pytest.mark.parametrize("skip_errors", [False, True])
def test_a_plain_function_is_no_transform(skip_errors):
    """It is refused at once: each sample failed of it, and with ``skip_errors`` none was ever left."""
    with pytest.raises(TypeError, match=r"transform must have draw and apply, .* got a function"):
        Loader(Drawn(), lambda sample: sample, batch_size=1, skip_errors=skip_errors)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("batch_size", lambda n: Loader(Drawn(), batch_size=n)),
        ("workers", lambda n: Loader(Drawn(), batch_size=1, workers=n)),
        ("epochs", lambda n: Loader(Drawn(), batch_size=1, epochs=n)),
        ("seed", lambda n: SyntheticMattes(seed=n)),
        ("length", lambda n: Mix([Drawn()], [1], length=n)),
        ("sizes", lambda n: RandomCrop(n)),
        ("sizes", lambda n: RandomCrop([n])),
        ("size", lambda n: Pad(n)),
        ("size", lambda n: Resize(n)),
        ("size", lambda n: paper_transform(n)),
        ("each", lambda n: pair_up([], [], [], each=n)),
    ],
)
def test_whole_numbers_may_be_numpys(name, make):
    """What is made of them is the same, its fingerprint too, by which a run is resumed."""
    assert fingerprint(make(np.int64(2))) == fingerprint(make(2))
    for value in (2.5, True):
        with pytest.raises(TypeError, match=f"{name} must be an integer, got {value}"):
            make(value)


def test_workers_start_beside_threads_of_opencv():
    """A worker forked while OpenCV's threads ran waited for them for ever."""
    script = (
        "import cv2, numpy as np\n"
        "from mattekit.data import Loader, Resize, SyntheticMattes\n"
        "cv2.setNumThreads(4)\n"
        "cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.float32), (9, 9), 2)\n"
        "loader = Loader(SyntheticMattes(seed=0, length=2), Resize(32), batch_size=2, epochs=1, workers=1)\n"
        "print(len(list(loader)), cv2.getNumThreads())\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, check=True).stdout == b"1 4\n"
    )


def test_workers_that_are_spawned_are_as_forked_ones(monkeypatch):
    """As on macOS and Windows: they had neither this process's limit of pixels nor OpenCV's one thread."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        batch = next(iter(Loader(Telling(), batch_size=1, workers=1)))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert batch.names == ("12345 pixels, 1 thread",)
