"""What a network sees when nobody says: by the bands' names, and without surroundings where brightness rules."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import blocks_scene, scene_of

from rsseg.errors import UsageError
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.methods import settings_of

AUTO = ChannelSettings(channels=("auto",))


def words(values: NDArray, bands: tuple[str, ...], settings: ChannelSettings = AUTO) -> tuple[str, ...]:
    found = fit_channels(settings, [scene_of(values)], bands)
    assert found is not None
    return found.words


def clouds(size: int = 64) -> NDArray:
    """Land with little contrast under bright clouds."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 0.02, (3, size, size))
    values[:, 10:30, 10:50] += rng.uniform(0.3, 0.6, (20, 40))
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (("green", "red", "nir"), ("components", "indices", "brightness", "means")),
        (("Blue", "Red", "NIR"), ("components", "indices", "brightness", "means")),
        (("1", "2", "3"), ("components", "brightness", "means")),
    ],
)
def test_indices_are_made_where_the_bands_have_names(bands: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert words(blocks_scene(64, 64)[0], bands) == expected


def test_a_single_band_is_seen_as_it_is() -> None:
    assert words(blocks_scene(64, 64, bands=1)[0], ("nir",)) == ("bands", "means")


def test_surroundings_are_left_out_under_clouds() -> None:
    assert words(clouds(), ("green", "red", "nir")) == ("components", "indices", "brightness")


def test_the_model_records_what_was_chosen() -> None:
    found = fit_channels(settings_of("context"), [scene_of(clouds())], ("1", "2", "3"))
    assert found is not None and found.smoothing is not None
    assert type(found).model_validate_json(found.model_dump_json()).words == ("components", "brightness")


def test_auto_stands_alone() -> None:
    with pytest.raises(UsageError, match="auto"):
        settings_of("kmeans", channels=("auto", "texture"))


def test_of_few_classes_pixels_are_seen_without_their_surroundings() -> None:
    few = settings_of("context", classes=9)
    assert words(blocks_scene(64, 64)[0], ("1", "2", "3"), few) == ("components", "brightness")
    assert words(blocks_scene(64, 64)[0], ("1", "2", "3"), settings_of("context")) == (
        "components",
        "brightness",
        "means",
    )
