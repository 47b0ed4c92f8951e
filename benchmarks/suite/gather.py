"""Random batches of patches: ``SceneSamples.gather`` against a bare copy, and against a DataLoader over rasterio.

ours     batches of float32 patches, normalised, channels last, gathered by index from a scene that lies in memory as
         it is stored; training takes its batches so.
limit    ``Tensor.copy_`` of as many float32 numbers a batch, from a block larger than any cache into one batch.
instead  torch's DataLoader with two workers over a data set that reads the patch's window by rasterio and normalises it
         by numpy. Its workers live on: the epoch before the measured one starts them and fills their block caches.

Peak memory of the DataLoader is its process's and its workers', pages that they share divided among them.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row
from suite.scenes import reflectance, scene_of
from suite.tree import TreePeak

SOURCE_FLOATS = 1 << 26
"""Numbers that the bare copy takes in turn: 256 MiB."""


def line(patch: int) -> Line:
    """The line of one patch size."""
    settings = {"size": [3000, 3200], "patch": patch, "batch": 512, "batches": 25600 // patch**2, "loaded": 12}
    return Line(
        f"gather-{patch}",
        f"random batches, {patch} px patches",
        __name__,
        {
            "ours": "SceneSamples.gather",
            "limit": "a copy of as many float32 numbers",
            "instead": "torch DataLoader, 2 workers, windowed rasterio reads (fewer batches, by patches a second)",
        },
        settings=settings,
        full={"size": [16600, 18000]},
        unit="patches",
        aims=[Aim("instead / ours", 5.0)],
    )


LINES = tuple(line(patch) for patch in (8, 16, 32))


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The scene's reflectance."""
    reflectance(folder, settings["size"])


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    import torch

    from rsseg.learn.samples import SceneSamples, find_patches
    from rsseg.pipeline.inputs import open_scenes, reading

    with reading(open_scenes([scene_of(folder, settings["size"])])) as inputs:
        found, moments = find_patches(inputs, settings["patch"], settings["patch"])
        samples = SceneSamples(found, moments, device=torch.device("cpu"), memory=1 << 40)
    generator = torch.Generator().manual_seed(0)
    shape = (settings["batches"] + 1, settings["batch"])
    batches = torch.randint(0, len(samples), shape, generator=generator)
    samples.gather(batches[-1])
    began = time.perf_counter()
    for batch in batches[:-1]:
        samples.gather(batch)
    return {"seconds": time.perf_counter() - began, "work": settings["batches"] * settings["batch"]}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import torch

    numbers = settings["batch"] * 3 * settings["patch"] ** 2
    source = torch.ones(max(1, SOURCE_FLOATS // numbers), numbers)
    target = torch.ones(numbers)  # zeros would not be in memory before they are written
    began = time.perf_counter()
    for batch in range(settings["batches"]):
        target.copy_(source[batch % len(source)])
    return {"seconds": time.perf_counter() - began, "work": settings["batches"] * settings["batch"]}


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    from torch.utils.data import DataLoader, RandomSampler

    dataset: Any = Windows(scene_of(folder, settings["size"]), settings["patch"])
    count = settings["loaded"] * settings["batch"]
    sampler = RandomSampler(dataset, replacement=True, num_samples=count)
    loader: Any = DataLoader(
        dataset, batch_size=settings["batch"], sampler=sampler, num_workers=2, persistent_workers=True
    )
    with TreePeak(shared=False) as memory:
        for _ in loader:
            pass
        began = time.perf_counter()
        for _ in loader:
            pass
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "work": count, "peak_mib": memory.peak_mib}


class Windows:
    """Patches of a raster by their number, read when they are asked for; each worker opens the file itself."""

    def __init__(self, path: Path, patch: int) -> None:
        import rasterio

        self.path, self.patch = path, patch
        self.dataset: Any = None
        with rasterio.open(path) as dataset:
            self.rows, self.cols = dataset.height // patch, dataset.width // patch
            self.scale, self.offset = dataset.scales[0], dataset.offsets[0]

    def __len__(self) -> int:
        return self.rows * self.cols

    def __getitem__(self, number: int) -> Any:
        import rasterio
        from rasterio.windows import Window

        self.dataset = self.dataset or rasterio.open(self.path)
        row, col = divmod(number, self.cols)
        window = Window(col * self.patch, row * self.patch, self.patch, self.patch)
        values = self.dataset.read(window=window).astype("float32")
        return (values * self.scale + self.offset - 0.2) / 0.1
