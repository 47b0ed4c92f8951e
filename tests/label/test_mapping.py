import numpy as np
import pytest

from rsseg.label.mapping import assign, choose, is_named

CLASSES = ("forest", "town", "water")
COUNTS = np.array([[5, 0, 9], [0, 4, 1], [0, 3, 0]])


def test_names_do_not_look_at_the_pixels() -> None:
    assert assign("names", COUNTS, ["forest", "", "forest"], CLASSES).tolist() == [0, -1, 0]
    assert assign("one-to-one", COUNTS, ["forest", "", ""], CLASSES).tolist() == [2, 1, -1]
    assert assign("many-to-one", COUNTS, ["forest", "", ""], CLASSES).tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["forest", "water"], True),
        (["forest", "cluster 7", ""], True),
        (["forest", "road"], False),
        (["Forest"], False),
        (["cluster 1", "cluster 2"], False),
        (["forest", "class 2 (5)"], True),
        (["", ""], False),
        ([], False),
    ],
)
def test_a_map_is_named_if_it_speaks_of_the_classes(names: list[str], named: bool) -> None:
    assert is_named(names, CLASSES) is named
    assert choose(names, CLASSES) == (("names",) if named else ("one-to-one", "many-to-one"))


def test_numbers_that_rsseg_wrote_are_no_names_even_if_both_have_them() -> None:
    assert not is_named(["cluster 1", "cluster 2"], ("cluster 1", "cluster 2"))
