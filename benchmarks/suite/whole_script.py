"""What a user would write instead of ``rsseg run``: numpy, torch and rasterio on whole arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.shutil import copy
from torch.utils.data import DataLoader, Dataset

from rsseg.learn.losses.recal import recal_loss
from rsseg.learn.methods import build, settings_of
from rsseg.scene.sensors import open_scene

PATCH = 8


class Patches(Dataset):
    """Windows of an array (bands, H, W), every ``stride`` pixels, that hold valid pixels only (or any)."""

    def __init__(self, pixels: NDArray, valid: NDArray, stride: int, share: float) -> None:
        height, width = valid.shape
        rows, cols = range(0, height - PATCH + 1, stride), range(0, width - PATCH + 1, stride)
        windows = np.lib.stride_tricks.sliding_window_view(valid, (PATCH, PATCH))[::stride, ::stride]
        wanted: Any = windows.mean(axis=(2, 3)) >= share if share else windows.any(axis=(2, 3))
        self.pixels = pixels
        self.places = [(row, col) for i, row in enumerate(rows) for j, col in enumerate(cols) if wanted[i, j]]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[int, NDArray]:
        row, col = self.places[number]
        return number, self.pixels[:, row : row + PATCH, col : col + PATCH]


def script(product: Path, target: Path, settings: dict[str, Any], classes: int, batch: int) -> None:
    """Reflectance, training and labels, the map as a COG."""
    pixels, valid, profile = reflectance(product)
    recal = settings_of("recal", classes=classes, batch=batch)
    method = build("recal", recal, len(pixels))
    network, optimiser = method.network.train(), method.phases[0].optimiser
    loader = DataLoader(
        Patches(pixels, valid, settings["train_stride"], 0.99), batch_size=batch, shuffle=True, num_workers=2
    )
    for _ in range(settings["epochs"]):
        for _, x in loader:
            optimiser.zero_grad()
            recal_loss(network.head.probabilities(network(x))).backward()
            optimiser.step()
    labels = labelled(network.eval(), Patches(pixels, valid, settings["stride"], 0.0), valid.shape, batch)
    labels[~valid] = 0
    plain = target.with_name("plain.tif")
    plain.unlink(missing_ok=True)
    profile.update(driver="GTiff", count=1, dtype="uint8", nodata=0, compress="deflate", tiled=True)
    with rasterio.open(plain, "w", **profile) as written:
        written.write(labels, 1)
    copy(plain, target, driver="COG", compress="DEFLATE", level=4, overview_resampling="MODE", num_threads="ALL_CPUS")


def reflectance(product: Path) -> tuple[NDArray, NDArray, dict[str, Any]]:
    """Standardised reflectance (bands, H, W) float32, valid pixels (H, W), and where the scene lies."""
    bands, valid = [], None
    for number, band in enumerate(open_scene(product).bands, 2):
        with rasterio.open(product / f"BAND{number}.tif") as dataset:
            counts = dataset.read(1)
            profile = {key: dataset.profile[key] for key in ("height", "width", "crs", "transform")}
        valid = counts > 0 if valid is None else valid & (counts > 0)
        bands.append(counts.astype(np.float32) * np.float32(band.scale) + np.float32(band.offset))
    if valid is None:
        raise ValueError(f"{product} has no bands")
    pixels = np.stack(bands)
    for one in pixels:
        one -= one[valid].mean()
        one /= one[valid].std()
        one[~valid] = 0
    return pixels, valid, profile


def labelled(network: Any, patches: Patches, shape: tuple[int, int], batch: int) -> NDArray[np.uint8]:
    """The label of each patch in its pixels; later patches over earlier ones."""
    labels = np.zeros(shape, np.uint8)
    with torch.inference_mode():
        for numbers, x in DataLoader(patches, batch_size=batch, num_workers=2):
            found = network.predict(x)[0].argmax(dim=1).numpy() + 1
            for number, label in zip(numbers.tolist(), found, strict=True):
                row, col = patches.places[number]
                labels[row : row + PATCH, col : col + PATCH] = label
    return labels
