import re

import numpy as np
import pytest

from rsseg.errors import UsageError
from rsseg.publish.palette import (
    LabelClass,
    _distances,
    class_of,
    colour_table,
    default_classes,
    default_colour,
    difference,
)


def test_a_value_keeps_its_colour_whatever_the_count() -> None:
    assert default_classes(255)[:7] == default_classes(7)
    assert default_classes(3)[2] == LabelClass(3, "cluster 3", default_colour(3))


def test_colours_are_distinct_and_frozen() -> None:
    colours = [item.colour for item in default_classes(255)]
    assert len(set(colours)) == 255
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    # maps of different runs and versions lie side by side: these must not change
    assert colours[:4] + colours[12:16] == [
        *("#0072b2", "#e69f00", "#009e73", "#cc79a7"),
        *("#ffccff", "#7700ff", "#33dd88", "#dd11ff"),
    ]


def test_the_first_colours_are_far_apart_and_none_is_grey() -> None:
    rgb = np.array([item.rgb for item in default_classes(16)], float)
    distances = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1) + 1e3 * np.eye(16)
    assert distances.min() > 60
    assert (np.ptp(np.array([item.rgb for item in default_classes(255)]), axis=1) > 10).all()


@pytest.mark.parametrize("count", [0, 256])
def test_more_than_a_byte_holds_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 255"):
        default_classes(count)


@pytest.mark.parametrize(
    ("value", "colour"), [(0, "#000000"), (256, "#000000"), (1, "red"), (1, "#12345"), (1, "#12345g")]
)
def test_classes_are_checked(value: int, colour: str) -> None:
    with pytest.raises(UsageError):
        LabelClass(value, "x", colour)


def test_the_difference_of_two_colours_is_that_of_the_palette() -> None:
    items = default_classes(9)
    rgb = np.array([item.rgb for item in items])
    found = [[difference(one.colour, other.colour) for one in items] for other in items]
    assert np.allclose(found, [_distances(rgb, color) for color in rgb], atol=2e-6)
    assert difference("#0072b2", "#0072B2") == 0


def test_a_value_is_drawn_as_the_map_says_or_as_its_default() -> None:
    assert class_of(3, {3: "water"}, {3: "#0000ff"}) == LabelClass(3, "water", "#0000ff")
    assert class_of(3, {3: ""}, {}) == LabelClass(3, "cluster 3", default_colour(3))
    table = colour_table({2: "#0102ff"}, nothing="#fffefd")
    assert table.shape == (256, 3) and table[0].tolist() == [255, 254, 253] and table[2].tolist() == [1, 2, 255]
    assert table[7].tolist() == list(default_classes(7)[6].rgb)
