"""What belongs to one shape of image: a compiled network, a CUDA graph; and how many of them are kept."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Tensors = tuple[Tensor, ...]
Run = Callable[[Tensor], Tensors]

SHAPES = 4
"""How many shapes are kept; the one that was used longest ago makes room."""

_ONE_AT_A_TIME = threading.RLock()  # not of each cache or graph: a network that holds a lock could not be copied


class ShapeCache:
    """Runs made for the shapes that come more than once.

    A shape's first image goes to ``plain``; its second to what ``make`` returns for it, as do all that follow. So
    photos of ever new sizes cost nothing extra, and photos of one size almost nothing. Threads may share it.

    Args:
        plain: Takes an image of any shape.
        make: Takes an image and returns what to call for images of its shape.
        size: How many shapes are kept.
    """

    def __init__(self, plain: Run, make: Callable[[Tensor], Run], *, size: int = SHAPES) -> None:
        self._plain = plain
        self._make = make
        self._size = size
        self._made: OrderedDict[tuple[int, ...], Run] = OrderedDict()
        self._seen: deque[tuple[int, ...]] = deque(maxlen=4 * size)

    def __call__(self, image: Tensor) -> Tensors:
        """Return what ``plain`` returns."""
        shape = tuple(image.shape)
        with _ONE_AT_A_TIME:
            is_new = shape not in self._made and shape not in self._seen
            if is_new:
                self._seen.append(shape)
        return self._plain(image) if is_new else self.get(image)(image)

    def get(self, image: Tensor) -> Run:
        """Return what runs images of this shape, made now if there is none."""
        shape = tuple(image.shape)
        with _ONE_AT_A_TIME:
            if shape not in self._made:
                while len(self._made) >= self._size:  # first, so that its memory is there for the new one
                    self._made.popitem(last=False)
                self._made[shape] = self._make(image)
            self._made.move_to_end(shape)
            return self._made[shape]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes that are kept, the one used longest ago first."""
        return list(self._made)


def compiled(network: nn.Module, image: Tensor) -> Run:
    """Compile a network for images of one shape.

    The network is exported first: torch.compile counts shapes a function, and refuses beyond eight; an exported
    network is a function of its own, which goes when its shape does. It would also compile anew where inference mode
    is switched on or off, and for tensors made in it, so that both are kept from it.
    """

    def apart(image: Tensor) -> Tensors:
        with torch.inference_mode(False), torch.no_grad():
            return run(image.clone() if image.is_inference() else image)

    with torch.inference_mode(False), torch.no_grad():
        exported = torch.export.export(network, (image,), strict=False).module()
    run = torch.compile(exported, fullgraph=True, dynamic=False)
    apart(image)
    return apart


class CudaGraph:
    """A recorded run of a function on the GPU: a thousand kernels for the price of launching one.

    Args:
        function: What to record; it must not look at values.
        image: An image of the shape to record for.
    """

    def __init__(self, function: Run, image: Tensor) -> None:
        # not in inference mode, whose tensors could not be written to outside it
        with torch.inference_mode(False), torch.no_grad(), torch.cuda.device(image.device), _fastest_convolutions():
            self._image = image.clone()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):  # libraries choose algorithms and take workspaces, which cannot be recorded
                    function(self._image)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            # so that other threads may allocate memory while this one records
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._results = function(self._image)

    def __call__(self, image: Tensor) -> Tensors:
        """Return copies of the results, since the next call, perhaps of another thread, writes over them."""
        with _ONE_AT_A_TIME:
            self._image.copy_(image)
            self._graph.replay()
            return tuple(result.clone() for result in self._results)


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms, which pays where one shape comes again and again."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
