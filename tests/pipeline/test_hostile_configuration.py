"""Pipelines and legends that somebody made to do harm, or broke: one sentence, soon."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hostile import watched

from rsseg.errors import InputError, RssegError, UsageError
from rsseg.label.legend_file import from_yaml, read_legend
from rsseg.label.yaml_files import BYTES, DEPTH, VALUES, parse_yaml, read_yaml
from rsseg.learn.methods import METHODS
from rsseg.pipeline.configuration import ModelConfig, load_pipeline

MODELS = "models: {a: {method: wce}}\n"


def refused(read: Callable[[], object], kind: type[RssegError], match: str) -> str:
    with watched(), pytest.raises(kind, match=match) as problem:
        read()
    message = str(problem.value)
    assert "\n" not in message and len(message) < 900
    return message


def write(folder: Path, content: object) -> str:
    path = folder / "p.yaml"
    raw = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    path.write_bytes(yaml.safe_dump(content).encode() if raw is None else raw)
    return str(path)


# YAML, in pipelines and legends alike


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    return "\n".join(lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)])


def merges(levels: int) -> str:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    return "\n".join(lines + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, levels)])


BROKEN = [
    (laughs(30), f"line 5: it holds more than {VALUES} values, aliases counted as what they stand for"),
    (merges(30), f"it holds more than {VALUES} values"),
    ("[" + "1, " * (VALUES + 5) + "1]", f"line 1: it holds more than {VALUES} values"),
    ("a: &a [*a]", "line 1: an alias stands inside of what it stands for"),
    ("a: &a {b: {<<: *a}}", "line 1: an alias stands inside of what it stands for"),
    ("a: *b", "found undefined alias"),
    ("[" * 100_000, f"line 1: values lie more than {DEPTH} deep in each other"),
    ("{a: " * 100_000, f"values lie more than {DEPTH} deep"),
    ("\n".join(" " * n + "a:" for n in range(1000)), f"line {DEPTH}: values lie more than {DEPTH} deep"),
    ("- " * 5000 + "x", f"values lie more than {DEPTH} deep"),
    ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands twice; keep one of them"),
    ("a: {b: 1, 'b': 2}", "line 1: the key 'b' stands twice"),
    ('a: 1\n"\\x1b]0;x": 2\n"\\e]0;x": 2', r"line 3: the key '\\x1b\]0;x' stands twice"),
    ("? [a, b]\n: 1", "line 1: a key is a list or a mapping"),
    ("a: !!python/object/apply:os.system ['touch trace']", "line 1: could not determine a constructor"),
    ("a: !!python/name:os.system", "could not determine a constructor"),
    ("a: !!python/object/new:os.system [x]", "could not determine a constructor"),
    ("a: !!bool maybe", "is not YAML that can be used"),
    ("a: !!timestamp never", "is not YAML that can be used"),
    ("a: !!int ''", "is not YAML that can be used"),
    ("a: 2024-13-45", "is not YAML that can be used: month must be in"),
    ("a: .nan", "line 1: .nan is no finite number; put it in quotes if it is a name"),
    ("a: [1,\n -.inf]", "line 2: -.inf is no finite number"),
    ("a: 1.0e+999", "line 1: 1.0e.999 is no finite number"),
    ("a: " + "9" * 100_000, "line 1: a number has more than 60 characters"),
    ("a: 0x" + "f" * 100_000, "a number has more than 60 characters"),
    ("a: 1" + ":1" * 100_000, "a number has more than 60 characters"),
    ("a: 1." + "1" * 100_000, "a number has more than 60 characters"),
    ("a: 1\n---\nb: 2", "line 2: but found another document"),
    ("%YAML 9.9\n---\na: 1", "found incompatible YAML document"),
    ("%TAG ! tag:x\n---\na: !y 1", "could not determine a constructor|expected"),
    ("a: '", "check its indentation"),
    ("\x00", "it is not YAML|UTF-8"),
    ("a: \x07", "it is not YAML"),
    ("a" * (BYTES + 1), "larger than the 1 MiB|longer than the"),
]


@pytest.mark.parametrize(("text", "match"), BROKEN, ids=lambda text: repr(text[:30]))
def test_yaml_that_is_not_read(tmp_path: Path, text: str, match: str) -> None:
    path = write(tmp_path, text)
    said = refused(lambda: load_pipeline(path), InputError, match)
    assert said.startswith(path)
    assert refused(lambda: read_legend(Path(path)), InputError, match) == said
    assert refused(lambda: from_yaml(text, "it"), InputError, match).startswith("it")
    assert not (tmp_path / "trace").exists() and not Path("trace").exists()


@pytest.mark.parametrize(
    "content",
    ["models: é".encode("latin-1"), MODELS.encode("utf-16"), MODELS.encode("utf-32"), b"\xff\xfe\x00\x00", b"\x80abc"],
)
def test_bytes_that_are_no_utf8(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    refused(lambda: load_pipeline(path), InputError, "cannot be read as a text in UTF-8; save it as UTF-8")
    refused(lambda: read_legend(Path(path)), InputError, "cannot be read as a text in UTF-8; save it as UTF-8")


def test_a_device_without_end_is_read_no_further_than_a_file() -> None:
    if Path("/dev/zero").exists():
        refused(lambda: read_yaml(Path("/dev/zero")), InputError, "larger than the 1 MiB")


def test_anchors_that_stand_for_little_are_read() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]", "it") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }
    config = yaml.safe_load(laughs(3))
    assert parse_yaml(laughs(3), "it") == config


def test_ordinary_values_are_those_of_yaml() -> None:
    text = "a: [1, -2, 0x1f, 1_000, 1.5, 2.0e-3, true, null, 2024-01-02, 'no', no, \"\\x1b\", 12:30]\n'5': {6: 7}\n"
    assert parse_yaml(text, "it") == yaml.safe_load(text)


# pipelines


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("models: [a]", "models"),
        ("models: 5", "models"),
        ("models: {a: 5}", "models"),
        ("models: {a: {method: [wce]}}", "method"),
        ("models: {a: {method: {}}}", "method"),
        ("models: {a: {method: null}}", "method"),
        ("models: {a: {method: wce, seed: -1}}", "seed = -1 cannot be used"),
        ("models: {a: {method: wce, seed: 99999999999999999999999}}", "seed = 9+ cannot be used"),
        (
            "models: {a: {method: wce, epochs: 1000000000000}}",
            r"epochs = 1000000000000 cannot be used \(it is from 0 to 1000000",
        ),
        ("models: {a: {method: recal, patch: 1000000000}}", "a patch of 1000000000 pixels is larger than 4096"),
        ("models: {a: {method: recal, stride: 0}}", "stride = 0"),
        ("models: {a: {method: recal, patch: -8}}", "patch = -8"),
        ("models: {a: {method: recal, classes: -3}}", "classes = -3"),
        ("models: {a: {method: recal, epochs: 1.5}}", "epochs = 1.5"),
        ("models: {a: {method: recal, epochs: '.nan'}}", "epochs = '.nan'"),
        ("models: {a: {method: recal, learning_rate: 'nan'}}", "rate"),
        ("models: {a: {method: recal, learning_rate: 'inf'}}", "rate"),
        ("models: {a: {method: wce, restarts: 100000}}", "restarts = 100000 cannot be used"),
        ("models: {a: {method: iic, heads: 1000000}}", "heads = 1000000 cannot be used"),
        ("models: {a: {method: gan-imsat, units: 1000000000000}}", "units = 1000000000000 cannot be used"),
        ("models: {a: {method: wce, tolerance: 'nan'}}", "tolerance"),
        ("models: {a: {method: wce, train_on: [[]]}}", "train_on"),
        (MODELS + "scale: ['nan']", "scale"),
        (MODELS + "scale: ['inf']", "scale"),
        (MODELS + "bands: 5", "bands"),
        (MODELS + "segment: {stride: 0}", r"segment\.stride = 0"),
        (MODELS + "segment: {stride: 1000000000000000000000}", r"segment\.stride"),
        (MODELS + "segment: {refine: {method: [5]}}", "refine"),
        (MODELS + "evaluate: {tile: -1}", r"evaluate\.tile = -1"),
        (MODELS + "? 5\n: 6", "5"),
        (MODELS + "x" * 900 + ": 6", "has no setting 'xxx"),
        (MODELS + f"description: [{'x' * 5000}]", "description"),
        (MODELS + r'"\e]0;owned\a": 1', "owned"),
    ],
    ids=lambda text: text[:70],
)
def test_pipelines_that_are_refused(tmp_path: Path, content: str, match: str) -> None:
    path = write(tmp_path, content)
    said = refused(lambda: load_pipeline(path), UsageError, match)
    assert said.startswith(path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [-1, 10**12, 10**30, "nan", math.pi * 1e18])
def test_no_number_of_any_setting_is_taken_as_it_comes(tmp_path: Path, method: str, value: object) -> None:
    fields = {**ModelConfig.model_fields, **METHODS[method][0].model_fields}
    numbers = [key for key, field in fields.items() if field.annotation in (int, float, int | None, float | None)]
    assert len(numbers) > 8
    for key in numbers:
        if key == "seed" and value in (10**12, math.pi * 1e18):
            continue  # seeds have all of 63 bits
        path = write(tmp_path, {"models": {"a": {"method": method, key: value}}})
        with watched(seconds=2), pytest.raises(UsageError, match=key):
            load_pipeline(path)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../x", "becomes a file name; use letters, digits, - and _"),
        ("/etc/passwd", "becomes a file name"),
        ("a\\b", "becomes a file name"),
        ("", "becomes a file name"),
        (".", "becomes a file name"),
        ("--", "becomes a file name"),
        ("a b", "becomes a file name"),
        ("a\x1b[31m", "becomes a file name"),
        ("a\u202e", "becomes a file name"),
        ("a\n", "becomes a file name"),
        ("x" * 300, "use at most 100 bytes, not 300"),
        ("森" * 90, "use at most 100 bytes, not 270"),
        ("CON", "that of a device on Windows"),
        ("nul", "that of a device on Windows"),
        ("com1", "that of a device on Windows"),
    ],
)
def test_names_that_are_no_file_names(tmp_path: Path, name: str, match: str) -> None:
    path = write(tmp_path, {"models": {name: {"method": "kmeans"}}})
    assert "\x1b" not in refused(lambda: load_pipeline(path), UsageError, match)


@pytest.mark.parametrize("name", ["a", "лес-2", "森林", "x" * 100, "console", "_a-b"])
def test_names_that_are_file_names(tmp_path: Path, name: str) -> None:
    assert list(load_pipeline(write(tmp_path, {"models": {name: {"method": "kmeans"}}})).models) == [name]


@pytest.mark.parametrize("source", ["x" * 5000, "a\x00b", "", "../" * 2000, "."])
def test_sources_that_are_no_files(source: str) -> None:
    with watched(), pytest.raises(UsageError, match=r"there is no pipeline .*; name a YAML file, or one of"):
        load_pipeline(source)


# sweeps


def test_sweeps_that_multiply_are_refused_before_they_are_made(tmp_path: Path) -> None:
    options = {f"o{i}": list(range(10)) for i in range(12)}
    path = write(tmp_path, {"models": {"a": {"method": "wce"}}, "sweep": [{"model": "a", **options}]})
    refused(lambda: load_pipeline(path), UsageError, "its sweeps make 1000000000000 models, more than 1000; vary less")
    entries = [{"model": "a", "seed": list(range(n, n + 400))} for n in (0, 400, 800)]
    path = write(tmp_path, {"models": {"a": {"method": "wce"}}, "sweep": entries})
    refused(lambda: load_pipeline(path), UsageError, "its sweeps make 1200 models, more than 1000")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("models: [a]\nsweep: [{model: a, seed: [1]}]", "models should be names with their settings"),
        ("models: 5\nsweep: [{model: a, seed: [1]}]", "models should be names with their settings"),
        (MODELS + "sweep: 5", "sweep is a list"),
        (MODELS + "sweep: [[]]", "sweep is a list"),
        (MODELS + "sweep: [{model: [a]}]", "sweep is a list"),
        (MODELS + "sweep: [{model: a, 5: [1]}]", "5 is no option"),
        (MODELS + "sweep: [{model: a, seed: []}]", "needs a list of values"),
        (MODELS + "sweep: [{model: a, seed: [[]]}]", r"models\.a_seed---\.seed = \[\]"),
        (MODELS + "sweep: [{model: a, seed: [1, 1]}]", "two models of the sweep would be called a_seed-1"),
        (MODELS + "sweep: [{model: a, seed: ['1', 1]}]", "two models of the sweep would be called a_seed-1"),
        (MODELS + f"sweep: [{{model: a, extractor: [{'x' * 300}]}}]", "use at most 100 bytes"),
        (MODELS + "sweep: [{model: a, method: [wce, [x]]}]", "method"),
        (MODELS + "varied: {a: 5}", "varied"),
    ],
)
def test_sweeps_that_are_refused(tmp_path: Path, content: str, match: str) -> None:
    path = write(tmp_path, content)
    refused(lambda: load_pipeline(path), UsageError, match)


# legends


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("classes: 5", "classes"),
        ("classes: [5]", "classes.1"),
        ("classes: [{value: 99999999999999999999999, name: a, clusters: [1]}]", r"classes\.1\.value"),
        ("classes: [{value: 1, name: [a], clusters: [1]}]", "is no name"),
        ("classes: [{value: 1, name: a, clusters: {1: 2}}]", "is no list"),
        ("classes: [{value: 1, name: a, clusters: [-1]}]", r"classes\.1\.clusters\.1 = -1"),
        ("classes: [{value: 1, name: a, colour: [1], clusters: [1]}]", "is no colour"),
        ("x" * 900 + ": 1", "has no key xxx"),
        ('"\\e]0;x\\a": 1', r"has no key \]0;x; check"),
        ("made: {a: [1]}\nclasses: [{value: 1, name: a, clusters: [1]}]", r"made\.a"),
    ],
    ids=lambda text: text[:60],
)
def test_legends_that_are_refused(text: str, match: str) -> None:
    refused(lambda: from_yaml(text, "it"), InputError, match)
