import re
from itertools import combinations

import numpy as np
import pytest

from rsseg.label.legend import Legend, LegendClass
from rsseg.label.rules import REFLECTANCE
from rsseg.publish.class_colours import NEAR, class_colours, coloured
from rsseg.publish.palette import default_colour, difference

COMMON = [
    "water",
    "forest",
    "vegetation",
    "grass",
    "crop",
    "bare",
    "urban",
    "road",
    "cloud",
    "shadow",
    "snow",
    "wetland",
]


def colour(name: str) -> str:
    """Of a class that is alone."""
    return class_colours({1: name})[1]


def levels(name: str) -> list[int]:
    """Red, green and blue of a name's colour."""
    return [int(colour(name)[i : i + 2], 16) for i in (1, 3, 5)]


def test_common_land_cover_is_drawn_as_maps_draw_it() -> None:
    strongest = {name: "rgb"[levels(name).index(max(levels(name)))] for name in COMMON}
    assert strongest["water"] == "b" and strongest["urban"] == "r"
    assert {strongest[name] for name in ("forest", "vegetation", "grass")} == {"g"}
    assert sum(levels("snow")) > sum(levels("crop")) > sum(levels("vegetation")) > sum(levels("forest"))
    assert max(levels("shadow")) < 64


def test_these_colours_are_told_apart_by_every_eye() -> None:
    assert min(difference(colour(a), colour(b)) for a, b in combinations(COMMON, 2)) > 0.1


@pytest.mark.parametrize(
    ("name", "same"),
    [
        *(
            ("Water", "water"),
            (" WATER  class 3", "water"),
            ("built-up", "town"),
            ("Bare soil", "bare"),
            ("roads", "road"),
        ),
        *(("forest land", "forest"), ("ｗａｔｅｒ", "water"), ("cropland", "crop"), ("dark", "dark")),
    ],
)
def test_how_a_word_is_written_does_not_matter(name: str, same: str) -> None:
    assert colour(name) == colour(same)


def test_names_of_several_words_have_shades_of_the_last_ones_kind() -> None:
    for name, kind in (("cloud shadow", "shadow"), ("deciduous forest", "forest"), ("lake", "water")):
        assert colour(name) != colour(kind)
        assert np.argsort(levels(name)).tolist() == np.argsort(levels(kind)).tolist()


@pytest.mark.parametrize("name", ["non-forest", "Stable non-forest", "not water", "deforestation", "waterloo"])
def test_what_is_not_a_kind_is_not_drawn_as_it(name: str) -> None:
    assert min(difference(colour(name), colour(kind)) for kind in COMMON) >= NEAR


def test_other_names_keep_their_colours_for_ever() -> None:
    # maps of different runs, machines and versions lie side by side: these must not change
    assert [colour(name) for name in ("eau", "नदी", "zone A", "lake")] == FROZEN


FROZEN = ["#224499", "#00ffdd", "#114444", "#6997e1"]


def test_a_name_has_its_colour_whatever_its_value_and_its_neighbours() -> None:
    first = class_colours({1: "water", 2: "forest", 3: "zone A", 4: "cluster 9"})
    second = class_colours({9: "cluster 1", 200: "zone A", 7: "forest", 3: "town", 5: "water"})
    assert (first[1], first[2], first[3]) == (second[5], second[7], second[200])


def test_unnamed_clusters_keep_the_colour_of_their_value() -> None:
    names = {3: "cluster 3", 17: "class 17", 4: "cluster 7 (4)", 200: "Cluster 1"}
    assert class_colours(names) == {value: default_colour(value) for value in names}


def test_equal_choices_are_settled_by_name() -> None:
    names = ["urban", "town", "built-up", "built"]
    found = [class_colours(dict(enumerate(order))) for order in (names, names[::-1])]
    assert len(set(found[0].values())) == 4
    assert [found[0][place] for place in range(4)] == [found[1][3 - place] for place in range(4)]
    assert class_colours({1: "building", 2: "urban"})[2] == colour("urban")


@pytest.mark.parametrize(
    "kind", ["zone {}", "forest {}", "forest of {}s", "cluster {}", "\x00{}\n<b>", "{}" + "x" * 300]
)
def test_255_classes_have_255_colours(kind: str) -> None:
    names = {value: kind.format("abcdefghijklmnop"[value % 16] * (1 + value // 16)) for value in range(1, 256)}
    found = class_colours(names)
    assert found.keys() == names.keys() and len(set(found.values())) == 255
    assert all(re.fullmatch("#[0-9a-f]{6}", item) for item in found.values())


def test_few_classes_are_far_apart() -> None:
    names = [
        "water",
        "lake",
        "river",
        "forest",
        "oak forest",
        "pine forest",
        "zone A",
        "zone B",
        "cluster 1",
        "cluster 2",
    ]
    found = class_colours(dict(enumerate(names, 1)))
    assert min(difference(a, b) for a, b in combinations(found.values(), 2)) >= NEAR / 2


def test_own_colours_stay_and_are_not_taken_twice() -> None:
    own = {7: colour("water").upper(), 8: default_colour(2)}
    found = class_colours({7: "x", 8: "y", 1: "water", 2: "cluster 2"}, own)
    assert found[7] == colour("water") and found[8] == default_colour(2)
    assert len(set(found.values())) == 4


def test_looks_keep_the_colours_of_their_rules() -> None:
    for rule in REFLECTANCE.rules:
        assert colour(f"{rule.name} 2") == colour(rule.name)
        ends = [difference(colour(rule.name), end) for end in rule.shades]
        assert max(ends) < difference(*rule.shades) + 0.05


def test_a_legend_is_coloured_without_touching_the_rest() -> None:
    classes = (
        LegendClass(value=4, name="water", clusters=(1,)),
        LegendClass(value=2, name="cluster 2", clusters=(2,), unknown=True),
        LegendClass(value=9, name="x", colour="#ABCDEF", clusters=()),
    )
    found = coloured(Legend(classes=classes))
    assert [item.colour for item in found.classes] == [colour("water"), default_colour(2), "#ABCDEF"]
    assert [item.model_copy(update={"colour": None}) for item in found.classes[:2]] == list(classes[:2])
    assert coloured(found) == found
