"""What it saves to compute the GAN's features once: an epoch of GAN + IMSAT's classifier with and without the cache.

    python benchmarks/gan_features.py [--samples 2000] [--size 16] [--repeats 3] [--json OUT]

Random images; medians after one warm-up, both in one process. The paper's classifier (1024 units, five copies under
dropout), the one that the CPU settings of clustering.py have, and that one without the divergence under dropout, which
needs the discriminator in every step whether M is kept or not.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from rsseg.learn.images import ImageSamples
from rsseg.learn.methods import build, gan_phases, settings_of

CASES = {
    "the paper's classifier": {"batch": 500},
    "a CPU's": {"batch": 125, "units": 512, "copies": 1, "heads": 2, "over_heads": 0},
    "a CPU's, no dropout divergence": {
        "batch": 125,
        "units": 512,
        "copies": 1,
        "heads": 2,
        "over_heads": 0,
        "dropout_divergence": False,
    },
}


def epoch_seconds(samples: ImageSamples, settings: dict, cached: bool, repeats: int) -> float:
    """Median seconds of the classifier's epochs after the first, with features kept or taken anew."""
    gan_phases.CACHE_BYTES = 1 << 30 if cached else 0
    torch.manual_seed(0)
    method = build("gan-imsat", settings_of("gan-imsat", patch=samples.patch, **settings), 1)
    phase, seconds = method.phases[1], []
    for epoch in range(repeats + 1):
        began = time.perf_counter()
        phase.start_of_epoch(samples, epoch)
        for indices in phase.batches(len(samples), torch.Generator().manual_seed(epoch)):
            phase.optimiser.zero_grad(set_to_none=True)
            phase.step(samples, indices)
            phase.optimiser.step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    shape = (arguments.samples, 1, arguments.size, arguments.size)
    images = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    samples, rows = ImageSamples(images, torch.device("cpu")), {}
    for name, settings in CASES.items():
        kept, anew = (epoch_seconds(samples, settings, cached, arguments.repeats) for cached in (True, False))
        rows[name] = {"seconds": kept, "anew_seconds": anew, "ratio": anew / kept}
        print(
            f"{name}: an epoch {kept:.3g} s with features kept, {anew:.3g} s anew, {anew / kept:.2f} times", flush=True
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
