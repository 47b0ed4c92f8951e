from pathlib import Path

import numpy as np
import pytest

from rsseg.errors import InputError
from rsseg.label.legend import Evidence, Legend, LegendClass
from rsseg.label.legend_file import from_yaml, read_legend, to_yaml

EDITED = """
# made by hand
classes:
  - value: 1
    name: Forêt & taillis
    colour: "#117733"
    clusters: [3, 7, 12,
               1, 2]        # merged from two classes
  - value: 9
    name: नदी
    clusters:
      - 4
      - 255
  - {value: 3, name: 2018, clusters: []}
"""


def legend(*classes: LegendClass, **more: object) -> Legend:
    return Legend.model_validate({"classes": classes, **more})


@pytest.mark.parametrize(
    "name", ["forest", "no", "null", "12", "a: b # c", "Grünland", "水", '"quoted"', "- x", "x\ty"]
)
def test_yaml_gives_the_same_legend_back(name: str) -> None:
    first = LegendClass(value=2, name=name, colour="#0072B2", clusters=(9, 200))
    second = LegendClass(value=1, name="cluster 4", clusters=(4,), unknown=True)
    evidence = {9: Evidence(how="reference", pixels=12, share=0.75), 4: Evidence(how="none", pixels=0)}
    written = legend(first, second, made={"by": "reference", "field": name}, evidence=evidence)
    assert from_yaml(to_yaml(written)) == written
    assert to_yaml(from_yaml(to_yaml(written))) == to_yaml(written)


def test_what_people_edit_is_read() -> None:
    read = from_yaml(EDITED)
    assert [item.name for item in read.classes] == ["Forêt & taillis", "नदी", "2018"]
    assert [item.clusters for item in read.classes] == [(3, 7, 12, 1, 2), (4, 255), ()]
    assert [item.colour for item in read.classes] == ["#117733", None, None]
    assert read.made == {} and read.evidence == {}
    assert from_yaml(to_yaml(read)) == read
    assert "Forêt" in to_yaml(read) and "नदी" in to_yaml(read)


def test_the_table_maps_clusters_to_classes() -> None:
    read = from_yaml(EDITED)
    assert np.flatnonzero(read.table).tolist() == [1, 2, 3, 4, 7, 12, 255]
    assert read.table[[0, 3, 255, 5]].tolist() == [0, 1, 9, 0]
    assert read.missing(np.array([[0, 3, 5], [8, 5, 255]], np.uint8)) == (5, 8)
    assert read.missing(np.array([[0, 3]], np.uint8)) == ()


OLD = """\
made: {by: reference, labels: map.tif}
classes:
- {value: 1, name: a, colour: '#0072b2', clusters: [4]}
- {value: 2, name: cluster 9, clusters: [9], unknown: true}
evidence:
  4: {how: reference, pixels: 12, share: 0.75}
  9: {how: spectra, pixels: 7, doubt: 0.25}
"""


def test_legends_of_earlier_versions_are_read() -> None:
    read = from_yaml(OLD)
    assert read.evidence[4] == Evidence(how="reference", pixels=12, share=0.75)
    assert "next" not in to_yaml(read) and from_yaml(to_yaml(read)) == read


def test_all_evidence_comes_back() -> None:
    evidence = {9: Evidence(how="map", pixels=12, share=0.5, doubt=0.375, next="next: one\n")}
    written = legend(LegendClass(value=2, name="a", clusters=(9,)), evidence=evidence)
    assert from_yaml(to_yaml(written)) == written


CLASS = "classes:\n- {value: 1, name: a, clusters: [1]}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLASS + "- {value: 2, name: b, clusters: [2, 1]}", "cluster 1 stands twice, in classes 'a' and 'b'"),
        ("classes:\n- {value: 1, name: a, clusters: [5, 5]}", "cluster 5 stands twice, in 'a'"),
        (CLASS + "- {value: 1, name: b, clusters: [2]}", "the value 1 stands twice"),
        (CLASS + "- {value: 2, name: a, clusters: [2]}", "the name a stands twice"),
        (CLASS + "classes: []", "line 3: the key 'classes' stands twice"),
        ("classes:\n- value: 1\n  name: a\n  clusters: [1]\n  name: b", "line 5: the key 'name' stands twice"),
        ("evidence:\n  1: {how: none, pixels: 0}\n  1: {how: none, pixels: 0}\n" + CLASS, "line 3: the key '1'"),
        ("classes:\n- value: 1\n   name: a", "line 3: mapping values are not allowed here"),
        ("classes:\n\t- value: 1", "line 2"),
        ("classes: [", "line 1"),
        ("\x00", "not YAML"),
        ("- 1", "no legend"),
        ("", "no legend"),
        ("classes: []", "classes"),
        ("clases: []", "has no key clases; check its spelling"),
        ("classes:\n- {value: 1, name: a, color: '#000000', clusters: [1]}", "has no key classes.1.color"),
        ("classes:\n- {value: 1, name: a}", "lacks classes.1.clusters"),
        (CLASS + "- {value: 0, name: b, clusters: [2]}", "classes.2.value = 0 cannot be used"),
        (CLASS + "- {value: 256, name: b, clusters: [2]}", "classes.2.value = 256"),
        (CLASS + "- {value: true, name: b, clusters: [2]}", "classes.2.value = True"),
        (CLASS + "- {value: 2, name: b, clusters: [2, x]}", "classes.2.clusters.2 = 'x'"),
        (CLASS + "- {value: 2, name: b, clusters: [[2, 3]]}", "classes.2.clusters.1 = [2, 3]"),
        (CLASS + "- {value: 2, name: b, clusters: 5}", "5 is no list; write it like [3, 7, 12]"),
        (CLASS + "- {value: 2, name: no, clusters: [2]}", "False is no name; write a text, in quotes"),
        (CLASS + "- {value: 2, name: '', clusters: [2]}", "'' is no name"),
        (CLASS + "- {value: 2, name: 2024-01-01, clusters: [2]}", "is no name"),
        (CLASS + "- {value: 2, name: 2024-13-01, clusters: [2]}", "month must be in 1..12"),
        (
            CLASS + "- value: 2\n  name: b\n  colour: #00ff00\n  clusters: [2]",
            "classes.2.colour: it is empty; write it",
        ),
        (CLASS + "- {value: 2, name: b, colour: green, clusters: [2]}", "'green' is no colour"),
        (CLASS + "evidence: {300: {how: none, pixels: 0}}", "evidence.300"),
        (CLASS + "evidence: {3: {how: guess, pixels: 0}}", "evidence.3.how = 'guess'"),
        ("classes: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_a_wrong_legend_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        from_yaml(text, "my.yaml")
    said = str(refused.value)
    assert said.startswith("my.yaml") and message in said and "\n" not in said and len(said) < 250


def test_aliases_that_multiply_are_refused_quickly() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(InputError, match="line 5: it holds more than 20000 values"):
        from_yaml("\n".join(lines))
    with pytest.raises(InputError, match="line 4: an alias stands inside"):
        from_yaml("classes:\n- value: 1\n  name: a\n  clusters: &b [*b]")


def test_files_are_read_as_editors_write_them(tmp_path: Path) -> None:
    path = tmp_path / "l.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + EDITED.replace("\n", "\r\n").encode())
    assert read_legend(path) == from_yaml(EDITED)
    path.write_bytes("classes: # Forêt".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_legend(path)
    with pytest.raises(InputError, match="does not exist"):
        read_legend(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_legend(tmp_path)
