"""Memory and time of one large photo, in a process of its own: python benchmarks/large_photos.py 4096 [--whole].

Peak memory is that of the process beyond what it holds once the network and the photo are loaded.
"""

import argparse
import time

import numpy as np
import torch
from measure import status_bytes

from mattekit.inference import predict, prepare
from mattekit.models import pp_matting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", type=int, help="of a square photo of noise, in pixels")
    parser.add_argument("--encoder", default="hrnet_w18")
    parser.add_argument("--max-memory", type=float, help="given to predict, in MB")
    parser.add_argument("--whole", action="store_true", help="run the prepared network in one piece")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    network = prepare(pp_matting(args.encoder).eval())
    predict(network, np.zeros((64, 64, 3), np.uint8))
    photo = np.random.default_rng(0).integers(0, 256, (args.side, args.side, 3), dtype=np.uint8)
    before = status_bytes("VmRSS") or 0
    wall, cpu = time.perf_counter(), time.process_time()
    if args.whole:
        image = torch.from_numpy(photo).permute(2, 0, 1)[None].float().div_(255)
        with torch.inference_mode():
            alpha = network.decode(network.encode(image)).alpha[0, 0].numpy()
    else:
        alpha = predict(network, photo, max_memory=None if args.max_memory is None else int(args.max_memory * 1e6))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    beyond = (status_bytes("VmHWM") or 0) - before
    print(
        f"{args.encoder} {args.side}²: {beyond / 1e6:,.0f} MB beyond {before / 1e6:,.0f}, "
        f"{wall:.1f} s, {cpu:.1f} s of processor time, mean {alpha.mean(dtype=float):.6f}"
    )


if __name__ == "__main__":
    main()
