"""What the scene decides of the default recipe: tiles, channels, classes, effort, and the reasons given."""

import numpy as np
import pytest

from rsseg.errors import GridError, UsageError
from rsseg.learn.bottleneck import Level
from rsseg.learn.methods.context import ContextSettings
from rsseg.pipeline.choice import (
    FEWEST,
    INFORMATION,
    MOST,
    VARIANCE,
    check_effort,
    choose_classes,
    choose_effort,
    choose_tile,
    explain_channels,
    settings_of,
)


def levels(information: dict[int, float], variance: dict[int, float] | None = None) -> list[Level]:
    """Stages of a merging with so many classes and what they keep, from many classes to few."""
    kept = variance or dict.fromkeys(information, 1.0)
    return [Level(np.arange(k), information[k], kept[k], information[k]) for k in sorted(information, reverse=True)]


def falling(at: float) -> dict[int, float]:
    """Parts that fall from 1 with the classes, and reach ``INFORMATION`` at ``at`` classes."""
    return {k: min(1.0, INFORMATION * k / at) for k in range(2, 49)}


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((16600, 18000), 128),
        ((128, 128), 128),
        ((127, 400), 120),
        ((400, 120), 120),
        ((48, 64), 48),
        ((15, 9), 8),
        ((8, 8), 8),
    ],
)
def test_a_tile_is_as_large_as_fits_and_a_multiple_of_eight(shape: tuple[int, int], patch: int) -> None:
    found = choose_tile(*shape)
    assert found.settings == {"patch": patch, "stride": patch // 2}
    assert f"{shape[0]} x {shape[1]} pixels" in found.reason
    ContextSettings(**found.settings).check()


def test_a_scene_without_room_for_a_tile_is_refused() -> None:
    with pytest.raises(GridError, match="7 x 400 pixels, and a map needs at least 8 x 8"):
        choose_tile(7, 400)


@pytest.mark.parametrize(
    ("bands", "reason"),
    [
        (("green", "red", "nir"), "NDVI and NDWI can be made of green, red, nir"),
        (("Blue", "Red", "NIR"), "NDVI can be made of Blue, Red, NIR; with bands"),
        (("green", "nir"), "NDWI can be made of green, nir; with bands named"),
        (("1", "2", "3"), "no index can be made of the bands 1, 2, 3; with bands named"),
        (("nir",), "no index can be made of the band nir; with bands named"),
    ],
)
def test_channels_are_explained_by_the_bands(bands: tuple[str, ...], reason: str) -> None:
    found = explain_channels(("components", "brightness"), bands)
    assert found.settings == {"channels": ["components", "brightness"]}
    assert found.reason.startswith(reason) and "brightness rules" in found.reason
    assert "tell textures apart" in explain_channels(("components", "means"), bands).reason


def test_bands_that_were_left_out_are_recommended() -> None:
    found = explain_channels(("bands", "means"), ("red",), ("green", "red", "nir"))
    assert "with --bands green,red,nir there would be" in found.reason


def test_the_fewest_classes_that_keep_enough_are_chosen() -> None:
    assert choose_classes(levels(falling(9))).settings == {"classes": 9}
    enough = choose_classes(
        levels(dict.fromkeys(range(2, 49), 1.0), {k: v / INFORMATION * VARIANCE for k, v in falling(12).items()})
    )
    assert enough.settings == {"classes": 12} and "48 fine clusters" in enough.reason


def test_classes_stay_within_their_limits() -> None:
    assert choose_classes(levels(falling(2.5))).settings == {"classes": FEWEST}
    most = choose_classes(levels(falling(40)))
    assert most.settings == {"classes": MOST} and "only with --classes" in most.reason


def test_a_scene_of_few_clusters_keeps_them_all() -> None:
    assert choose_classes(levels({3: 1.0, 2: 0.5})).settings == {"classes": 3}
    assert choose_classes(levels({1: 1.0})).settings == {"classes": 2}


def test_effort_is_measured_by_the_recipe() -> None:
    recipe = ContextSettings(epochs=4, warm_epochs=3)
    assert choose_effort("quick", recipe).settings == {"epochs": 1, "warm_epochs": 1}
    assert choose_effort("normal", recipe).settings == {"epochs": 4, "warm_epochs": 3}
    assert choose_effort("thorough", recipe).settings == {"epochs": 8, "warm_epochs": 3, "restarts": 3, "vote": 3}
    with pytest.raises(UsageError, match="choose quick, normal or thorough"):
        check_effort("heroic")


def test_a_choice_reads_as_a_sentence_and_choices_add_up() -> None:
    tile, channels = choose_tile(48, 64), explain_channels(("components", "brightness"), ("1", "2"))
    assert str(channels).startswith("channels components,brightness: no index can be made")
    assert set(settings_of([tile, channels])) == {"patch", "stride", "channels"}
