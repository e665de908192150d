"""From a source to batches: the same ones on any number of workers and processes, before and after a resume."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mattekit import trimap
from mattekit._checks import check_nonnegative, check_number, check_positive
from mattekit.data.batch import START, Batch, Position, collate, empty_batch
from mattekit.data.sample import Sample
from mattekit.data.sources import Source, check_source, name_of
from mattekit.data.transforms import Transform, check_transform


class SampleError(RuntimeError):
    """A sample that could not be made. The message names it and says why."""


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random generator of one sample of one epoch, which depends on nothing else.

    Args:
        seed: The run's seed.
        epoch: The epoch, from 0 on.
        index: The sample's index in its source.

    Returns:
        A new generator.

    Example:
        >>> sample_generator(0, 3, 14).integers(1000) == sample_generator(0, 3, 14).integers(1000)
        np.True_
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, index)))


def epoch_order(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order in which an epoch takes the samples of a source.

    Args:
        seed: The run's seed.
        epoch: The epoch, from 0 on.
        length: Samples of the source.

    Returns:
        Their indices, shuffled.

    Example:
        >>> sorted(epoch_order(0, 1, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))).permutation(length)


class Loader:
    """Batches of a source, endless or for some epochs.

    A sample depends on the seed, the epoch and its index alone: it is the same on any number of workers and processes.
    Each batch says where the next one starts; a loader that starts there goes on as if nothing had been. That holds for
    what draws from the generator that it is handed. The global ones are seeded in workers too, by seed, start and rank,
    but what they give depends on how many workers there are and on where the loader began.

    Args:
        source: Where the samples come from.
        transform: What is done to each; it must end with one size. None leaves them as they are.
        batch_size: Samples of a batch over all processes together.
        seed: Everything random follows from it.
        shuffle: Take each epoch in an order of its own instead of the source's.
        epochs: After this many epochs it ends, with a smaller batch if need be. None never ends, and a batch may
            take its last samples from the next epoch.
        start: Where to begin, such as the ``position`` of the last batch before a break.
        workers: Processes that make batches ahead; 0 makes them when they are asked for.
        rank: Which of the processes this is: it gets its share of each batch.
        world_size: How many processes there are.
        kernels: Samples that have no trimap get one by `mattekit.trimap.random_from_alpha` with these. The default is
            what PP-Matting was trained with.
        skip_errors: Leave samples out that cannot be read, and list them in the batch's ``skipped``. A batch may then
            have no sample at all: its length is 0.
        collate: Makes the batch, as `mattekit.data.collate` does. Another one may carry more: a source may give samples
            of a class derived from `Sample`, and it a class derived from `Batch`.

    Raises:
        TypeError: If ``source`` is no source, or ``transform`` no transform.
        ValueError: If a number is out of range, the batch cannot be shared out evenly, or the source is empty.

    Example:
        >>> from mattekit.data import Resize, SyntheticMattes
        >>> loader = Loader(SyntheticMattes(seed=0, length=6), Resize(64), batch_size=4)
        >>> batches = iter(loader)
        >>> first, second = next(batches), next(batches)
        >>> first.image.shape, first.position, second.position
        (torch.Size([4, 3, 64, 64]), Position(epoch=0, index=4), Position(epoch=1, index=2))
        >>> resumed = Loader(SyntheticMattes(seed=0, length=6), Resize(64), batch_size=4, start=first.position)
        >>> torch.equal(next(iter(resumed)).image, second.image)
        True
    """

    def __init__(
        self,
        source: Source,
        transform: Transform | None = None,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        epochs: int | None = None,
        start: Position = START,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        kernels: trimap.RandomKernels = trimap.PADDLESEG_KERNELS,
        skip_errors: bool = False,
        collate: Callable[..., Batch] = collate,
    ) -> None:
        check_source("source", source)
        if transform is not None:
            check_transform("transform", transform)
        for name, value in (("batch_size", batch_size), ("world_size", world_size)):
            check_number(name, value, Integral)
            check_positive(name, value)
        for name, value in (("seed", seed), ("workers", workers), ("rank", rank), ("epochs", epochs or 0)):
            check_number(name, value, Integral)
            check_nonnegative(name, value)
        if batch_size % world_size:
            raise ValueError(f"batch_size must be a multiple of world_size, got {batch_size} and {world_size}")
        if rank >= world_size:
            raise ValueError(f"rank must be below world_size, got {rank} and {world_size}")
        if len(source) == 0:
            raise ValueError("source must have at least one sample, got none")
        if start.epoch < 0 or not 0 <= start.index < len(source):
            raise ValueError(f"start must lie within an epoch of {len(source)} samples, got {start}")
        self.batch_size = int(batch_size)  # of NumPy they would reach positions, and checkpoints by them
        self.seed = int(seed)
        self.shuffle = shuffle
        self.epochs = None if epochs is None else int(epochs)
        self.start = start
        self.workers = int(workers)
        self.rank = int(rank)
        self.world_size = int(world_size)
        self._maker = _BatchMaker(source, transform, self.seed, kernels, skip_errors, collate)

    def __iter__(self) -> Iterator[Batch]:
        """Batches from ``start`` on; each iterator begins there anew."""
        where = self.seed, self.start.epoch, self.start.index, self.rank
        own = torch.Generator()  # or it would draw from the global one, and resuming would show
        own.manual_seed(int(np.random.SeedSequence(where).generate_state(1, np.uint64)[0]))
        batches = DataLoader(
            self._maker,
            batch_size=None,  # an item is a whole batch, so that a worker does all of it
            sampler=self._plans(),  # pyright: ignore[reportArgumentType]: any iterable will do
            num_workers=self.workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            generator=own,
            worker_init_fn=partial(_start_worker, Image.MAX_IMAGE_PIXELS),
        )
        if not self.workers:
            return iter(batches)
        with _without_threads():
            return iter(batches)

    def _plans(self) -> Iterator["_Plan"]:
        """For each batch, which samples of which epoch are this process's, and where the next batch starts."""
        length = len(self._maker.source)
        epoch, index = self.start.epoch, self.start.index
        share = self.batch_size // self.world_size
        order = self._order(epoch)
        batch: list[tuple[int, int]] = []
        while self.epochs is None or epoch < self.epochs:
            taken = min(self.batch_size - len(batch), length - index)
            batch += [(epoch, int(chosen)) for chosen in order[index : index + taken]]
            index += taken
            if index == length:
                epoch, index = epoch + 1, 0
                order = self._order(epoch)
            if len(batch) == self.batch_size or epoch == self.epochs:
                mine = batch[self.rank * share : (self.rank + 1) * share]
                if mine:
                    yield _Plan(tuple(mine), Position(epoch, index))
                batch = []

    def _order(self, epoch: int) -> np.ndarray:
        length = len(self._maker.source)
        return epoch_order(self.seed, epoch, length) if self.shuffle else np.arange(length)


class _Plan(NamedTuple):
    keys: tuple[tuple[int, int], ...]  # epoch and index of each sample
    position: Position


class _BatchMaker(Dataset[Batch]):
    """Makes the samples of a plan, in a worker or not."""

    def __init__(
        self,
        source: Source,
        transform: Transform | None,
        seed: int,
        kernels: trimap.RandomKernels,
        skip_errors: bool,
        collate: Callable[..., Batch],
    ) -> None:
        self.source = source
        self.transform = transform
        self.seed = seed
        self.kernels = kernels
        self.skip_errors = skip_errors
        self.collate = collate

    def __getitem__(self, plan: _Plan) -> Batch:
        samples, skipped = [], []
        for key in plan.keys:
            try:
                samples.append(self._sample(*key))
            except SampleError as error:
                if not self.skip_errors:
                    raise
                skipped.append(str(error))
        if not samples:
            return empty_batch(position=plan.position, skipped=skipped)
        return self.collate(samples, position=plan.position, skipped=skipped)

    def _sample(self, epoch: int, index: int) -> Sample:
        rng = sample_generator(self.seed, epoch, index)
        name = name_of(self.source, index)
        try:
            sample = self.source(index, rng)
            name = sample.name or name
            if self.transform is not None:
                sample = self.transform.apply(sample, self.transform.draw(sample, rng))
            return with_trimap(sample, self.kernels, rng)
        except Exception as error:
            called = f"{index} ({name})" if name else index
            message = f"sample {called} of epoch {epoch}: {type(error).__name__}: {error}"
            raise SampleError(message) from error


def with_trimap(sample: Sample, kernels: trimap.RandomKernels, rng: np.random.Generator) -> Sample:
    """The sample, with a trimap made from its matte where it has none."""
    if sample.trimap is not None:
        return sample
    return replace(sample, trimap=trimap.random_from_alpha(sample.alpha, kernels=kernels, generator=rng))


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(most_pixels: int | None, number: int) -> None:
    """Read photos as large as the parent does, and let the workers be the parallelism, without threads of OpenCV's.

    A worker that is forked has both from its parent, one that is spawned, as on macOS and Windows, neither.
    """
    import cv2

    cv2.setNumThreads(0)
    Image.MAX_IMAGE_PIXELS = most_pixels


@contextmanager
def _without_threads() -> Iterator[None]:
    """End OpenCV's threads, for a worker that is forked beside running ones waits for them for ever.

    Afterwards this process has as many as before.
    """
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
