"""Names given while looking at a map: what the legend's file says then, and that relabelling makes the map of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from labelmaps import Run, write_map

from rsseg.errors import InputError, UsageError
from rsseg.label.legend import Evidence, Legend, LegendClass
from rsseg.label.legend_file import from_yaml, read_legend, to_yaml
from rsseg.label.maps import LabelMap
from rsseg.publish.labels import LabelClass
from rsseg.publish.view.legends import NamedValues, renamed
from rsseg.publish.view.renaming import renaming_of

HOSTILE = [
    "<script>alert(1)</script>",
    "a: [b, 'c'] # \"d\"; --rm -rf ~ $(x) `y`",
    "two\nlines\tand\ttabs",
    "森 лес غابة",
    "w" * 300,
    "bell \x07 and escape \x1b, next line \x85, separator \u2028 end",
    "null",
    "12",
    "- water",
]

CLUSTERS = np.array([[1, 1, 2, 2], [3, 3, 0, 4]], np.uint8)


def looks(*names: str) -> Mapping[int, tuple[str, str]]:
    return {value: (name, f"#00000{value}") for value, name in enumerate(names, 1)}


FOUR = looks("cluster 1", "cluster 2", "cluster 3", "cluster 4")


@pytest.fixture
def names(tmp_path: Path) -> NamedValues:
    labels = write_map(tmp_path / "map.tif", CLUSTERS)
    return NamedValues(renaming_of(labels, tmp_path / "legends" / "map.yaml", tmp_path / "named.tif"))


def legend_of(*classes: tuple[int, str, tuple[int, ...]]) -> Legend:
    found = {cluster: Evidence(how="spectra", pixels=cluster, doubt=0.1) for item in classes for cluster in item[2]}
    made = tuple(LegendClass(value=v, name=n, colour=f"#00000{v}", clusters=c) for v, n, c in classes)
    return Legend(made={"by": "hand"}, classes=made, evidence=found)


def groups(legend: Legend) -> dict[str, tuple[int, ...]]:
    return {item.name: item.clusters for item in legend.classes}


def test_the_first_name_makes_a_legend_with_a_class_a_cluster(names: NamedValues) -> None:
    assert names.read() is None and names.looks() == {}
    names.rename(2, "  forest ", "#123456", FOUR)
    legend = read_legend(names.renaming.target)
    assert groups(legend) == {"cluster 1": (1,), "forest": (2,), "cluster 3": (3,), "cluster 4": (4,)}
    assert [item.colour for item in legend.classes] == ["#000001", "#123456", "#000003", "#000004"]
    assert names.looks()[2] == ("forest", "#123456")


def test_a_class_keeps_its_value_colour_and_evidence_when_it_is_renamed() -> None:
    before = legend_of((1, "a", (1, 5)), (2, "b", (2,)))
    after = renamed(before, (1, 5), "water", None, 1, "#ffffff")
    assert groups(after) == {"water": (1, 5), "b": (2,)}
    assert after.classes[0].value == 1 and after.classes[0].colour == "#000001"
    assert after.evidence == before.evidence and after.made == before.made


def test_a_cluster_joins_the_class_whose_name_it_gets() -> None:
    before = legend_of((1, "water", (1,)), (2, "b", (2,)), (3, "empty", ()))
    after = renamed(before, (2,), "water", None, 2, "#ffffff")
    assert groups(after) == {"water": (1, 2), "empty": ()}
    assert after.classes[0].colour == "#000001" and after.evidence == before.evidence


def test_a_cluster_leaves_its_class_for_a_new_one_in_the_colour_it_had() -> None:
    before = legend_of((1, "water", (1, 2)), (2, "b", (3,)))
    after = renamed(before, (2,), "lake", None, 2, "#abcdef")
    assert groups(after) == {"water": (1,), "b": (3,), "lake": (2,)}
    assert after.classes[2].value == 3 and after.classes[2].colour == "#abcdef"


def test_a_name_of_ones_own_settles_what_was_unknown() -> None:
    unknown = Legend(classes=(LegendClass(value=1, name="unknown 1", clusters=(1,), unknown=True),))
    assert not renamed(unknown, (1,), "water", None, 1, "#ffffff").classes[0].unknown
    assert renamed(unknown, (1,), "unknown 1", "#123456", 1, "#ffffff").classes[0].unknown


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_survives_file_and_relabelling(rsseg: Run, names: NamedValues, name: str) -> None:
    names.rename(1, name, None, FOUR)
    legend = read_legend(names.renaming.target)
    assert legend.classes[0].name == name
    assert from_yaml(to_yaml(legend)) == legend
    naming = names.renaming
    code, _, err = rsseg("relabel", naming.source, "--legend", naming.target, "-o", naming.output)
    assert code == 0, err
    with LabelMap(naming.output) as made:
        assert np.array_equal(made.read(made.grid.window), CLUSTERS)


@pytest.mark.parametrize(
    ("value", "name", "colour"),
    [
        (1, "", None),
        (1, " \n", None),
        (1, "a\ud800", None),
        (1, "n" * 5000, None),
        (1, "a", "red"),
        (1, "a", "#12345"),
        (9, "a", None),
        (0, "a", None),
    ],
)
def test_what_no_legend_can_hold_is_refused_and_nothing_is_written(
    names: NamedValues, value: int, name: str, colour: str | None
) -> None:
    with pytest.raises(UsageError):
        names.rename(value, name, colour, FOUR)
    assert not names.renaming.target.parent.exists()


def test_a_legend_edited_by_hand_is_kept(names: NamedValues) -> None:
    names.rename(1, "water", None, FOUR)
    target = names.renaming.target
    target.write_text(target.read_text().replace("cluster 3", "town"))
    assert names.looks()[3][0] == "town"
    names.rename(2, "forest", None, FOUR)
    assert list(groups(read_legend(target))) == ["water", "forest", "town", "cluster 4"]


def test_a_legend_broken_by_hand_is_said_and_not_replaced(names: NamedValues) -> None:
    names.rename(1, "water", None, FOUR)
    target = names.renaming.target
    target.write_text("classes: [")
    with pytest.raises(InputError, match=r"map\.yaml, line 1"):
        names.rename(2, "forest", None, FOUR)
    assert target.read_text() == "classes: ["


def test_clusters_that_the_legend_does_not_know_get_classes(names: NamedValues) -> None:
    names.renaming.target.parent.mkdir()
    names.renaming.target.write_text(to_yaml(legend_of((1, "cluster 2", (1,)))))
    names.rename(3, "water", None, FOUR)
    legend = read_legend(names.renaming.target)
    assert groups(legend) == {"cluster 2": (1,), "cluster 2 (2)": (2,), "water": (3,), "cluster 4": (4,)}
    assert legend.evidence[1].doubt == 0.1


def named_map(folder: Path, table: dict[int, int]) -> tuple[Path, Path]:
    """A map of four clusters, and one made of it by a legend that lies beside it."""
    clusters, labels = folder / "clusters" / "m.tif", folder / "labels" / "m.tif"
    write_map(clusters, CLUSTERS)
    lookup = np.zeros(256, np.uint8)
    lookup[list(table)] = list(table.values())
    write_map(labels, lookup[CLUSTERS], classes=[LabelClass(v, f"class {v}", "#000000") for v in set(table.values())])
    classes = [(v, f"class {v}", tuple(c for c in table if table[c] == v)) for v in sorted(set(table.values()))]
    labels.with_suffix(".legend.yaml").write_text(to_yaml(legend_of(*classes)))
    return clusters, labels


def test_a_map_made_by_a_legend_goes_on_from_it(rsseg: Run, tmp_path: Path) -> None:
    clusters, labels = named_map(tmp_path, {1: 1, 2: 2, 3: 1, 4: 2})
    naming = renaming_of(
        labels, tmp_path / "new.yaml", tmp_path / "out.tif", [tmp_path / "merged.tif", clusters], tmp_path
    )
    names = NamedValues(naming)
    assert naming.source == clusters
    names.rename(2, "water", None, looks("class 1", "class 2"))
    legend = read_legend(naming.target)
    assert groups(legend) == {"class 1": (1, 3), "water": (2, 4)}
    assert legend.made == {"by": "hand", "of": "clusters/m.tif"} and set(legend.evidence) == {1, 2, 3, 4}
    assert names.looks()[2][0] == "water"
    assert rsseg("relabel", naming.source, "--legend", naming.target, "-o", naming.output)[0] == 0
    with LabelMap(naming.output) as made, LabelMap(labels) as shown:
        assert np.array_equal(made.read(made.grid.window), shown.read(shown.grid.window))
        assert made.names[2] == "water"


def test_a_legend_that_did_not_make_the_map_is_left_alone(tmp_path: Path) -> None:
    clusters, labels = named_map(tmp_path, {1: 1, 2: 2, 3: 1, 4: 2})
    with LabelMap(labels) as shown:
        values = shown.read(shown.grid.window)
    labels.unlink()
    write_map(tmp_path / "other" / "m.tif", 3 - values.clip(1))
    (tmp_path / "other" / "m.tif").replace(labels)
    naming = renaming_of(labels, tmp_path / "new.yaml", tmp_path / "out.tif", [clusters])
    assert naming.source == labels and naming.start is None


def test_names_of_another_models_clusters_are_not_shown(tmp_path: Path) -> None:
    labels, target = write_map(tmp_path / "map.tif", CLUSTERS), tmp_path / "map.yaml"
    target.write_text(to_yaml(Legend(made={"of": "clusters/map.tif"}, classes=legend_of((1, "a", (1,))).classes)))
    with pytest.raises(InputError, match="move the file away"):
        NamedValues(renaming_of(labels, target, tmp_path / "out.tif")).looks()
