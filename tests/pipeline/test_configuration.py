from pathlib import Path
from typing import Any

import pytest
import yaml

from rsseg.errors import InputError, UsageError
from rsseg.learn.methods import METHODS, settings_of
from rsseg.learn.methods.recal import RecalSettings
from rsseg.pipeline.configuration import PipelineConfig, load_pipeline

ROOT = Path(__file__).parents[2]
MODELS = {"recal": {"method": "recal", "epochs": 2}, "kmeans": {"method": "kmeans", "classes": 4}}


def loaded(folder: Path, content: object, **overrides: Any) -> PipelineConfig:
    path = folder / "p.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_pipeline(str(path), overrides)


def test_defaults_are_the_methods_own(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"models": {"a": {"method": "recal"}}})
    assert config.models["a"].settings == settings_of("recal")
    assert config.models["a"].train_on == "together" and config.models["a"].apply_to == "all"
    assert config.bands is None and config.segment.resolution == "pixel" and config.consensus


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"modles": MODELS}, "modles"),
        ({"models": MODELS, "epochs": 3}, "epochs"),
        ({"models": MODELS, "toa": {"dtpe": "uint16"}}, r"toa\.dtpe"),
        ({"models": MODELS, "segment": {"strid": 3}}, r"segment\.strid"),
        ({"models": {"a": {"method": "recal", "epoch": 3}}}, "epoch"),
        ({"models": {"a": {"method": "kmeans", "learning_rate": 0.1}}}, "learning_rate"),
    ],
    ids=str,
)
def test_an_unknown_key_is_named(tmp_path: Path, content: object, key: str) -> None:
    with pytest.raises(UsageError, match=f"has no setting '{key}'; check its spelling"):
        loaded(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "lacks 'models'"),
        ({"models": {}}, "no model is named"),
        ({"models": {"a": {}}}, r"lacks 'models\.a\.method'"),
        ({"models": {"a": {"method": "recall"}}}, "no such method; choose one of context, recal, "),
        ({"models": {"A/b": {"method": "recal"}}}, "model name 'A/b' becomes a file name"),
        ({"models": {"a": {"method": "recal", "epochs": 0}}}, r"models\.a: recal: epochs = 0"),
        ({"models": {"a": {"method": "recal", "classes": 256}}}, "classes = 256"),
        ({"models": {"a": {"method": "recal", "restarts": 0}}}, r"models\.a\.restarts = 0"),
        ({"models": {"a": {"method": "recal", "train_on": []}}}, "train_on"),
        ({"models": MODELS, "segment": {"resolution": "patches"}}, r"segment\.resolution = 'patches'"),
        ({"models": MODELS, "scale": []}, "scale"),
        ({"models": MODELS, "scale": [1, 2, 3]}, "scale"),
        ([1, 2], "not a pipeline"),
        ("", "not a pipeline"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_used_is_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as problem:
        loaded(tmp_path, content)
    assert "\n" not in str(problem.value) and "p.yaml" in str(problem.value)


@pytest.mark.parametrize(("text", "line"), [("models:\n\t- a", 2), ("models: [", 1), ("a: b: c", 1)])
def test_broken_yaml_is_said_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(InputError, match=f"p.yaml, line {line}: .*; check its indentation"):
        loaded(tmp_path, text)


def test_a_binary_file_is_no_pipeline(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"II*\x00\x10\x00\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a text in UTF-8"):
        load_pipeline(str(tmp_path / "p.yaml"))


def test_a_pipeline_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no pipeline nothing.*cross-scene, default, .*quick, recal-liss4"):
        load_pipeline("nothing")


def test_tags_of_python_are_not_built(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not determine a constructor"):
        loaded(tmp_path, "models: !!python/object/apply:os.system ['true']")


# overrides


def test_overrides_go_where_they_make_sense(tmp_path: Path) -> None:
    given = {"classes": 7, "seed": 5, "patch": 16, "stride": 4, "epochs": 9, "bands": ("nir", "red"), "scale": (0.1,)}
    config = loaded(tmp_path, {"models": MODELS, "bands": ["green"]}, **given)
    recal, kmeans = config.models["recal"], config.models["kmeans"]
    assert config.bands == ("nir", "red") and config.scale == (0.1,)
    assert (recal.seed, kmeans.seed) == (5, 5)
    assert (recal.settings.classes, kmeans.settings.classes) == (7, 7)
    assert (recal.settings.patch, recal.settings.stride, recal.settings.epochs) == (16, 4, 9)
    assert (kmeans.settings.patch, kmeans.settings.stride) == (1, 1)


def test_a_single_models_overrides_come_last(tmp_path: Path) -> None:
    own = {"recal": {"patch": 16, "classes": 3}}
    config = loaded(tmp_path, {"models": MODELS}, classes=7, models=own)
    assert (config.models["recal"].settings.classes, config.models["kmeans"].settings.classes) == (3, 7)
    assert config.models["recal"].settings.patch == 16
    with pytest.raises(UsageError, match="has no setting 'pach'"):
        loaded(tmp_path, {"models": MODELS}, models={"recal": {"pach": 16}})


def test_overrides_that_are_none_change_nothing(tmp_path: Path) -> None:
    plain = loaded(tmp_path, {"models": MODELS})
    assert loaded(tmp_path, {"models": MODELS}, classes=None, bands=None) == plain


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="classes = 1 "):
        loaded(tmp_path, {"models": MODELS}, classes=1)


def test_bands_may_be_numbers(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"models": MODELS, "bands": [3, 2]}).bands == ("3", "2")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "pipelines").glob("*.yaml")))
def test_the_pipelines_that_come_with_rsseg_are_valid(name: str) -> None:
    config = load_pipeline(name)
    assert config.models and config.description


# settings of methods


def test_unknown_methods_and_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="no method is called 'dec'; choose one of context, recal, "):
        settings_of("dec")
    with pytest.raises(UsageError, match="recal has no setting 'lr'"):
        settings_of("recal", lr=3)


def test_recals_defaults_are_the_papers_where_it_gives_them() -> None:
    settings = settings_of("recal", weights="imagenet")
    assert isinstance(settings, RecalSettings)
    assert (settings.rate, settings.momentum, settings.classes, settings.cut) == (1e-4, 0.9, 10, "scene")
    assert settings_of("recal", learning_rate=0.5).rate == 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_json(method: str) -> None:
    settings = settings_of(method, classes=12)
    assert settings_of(method, **settings.model_dump(mode="json")) == settings


def test_the_classes_of_a_merged_map_are_what_classes_overrides(tmp_path: Path) -> None:
    models = {"many": {"method": "kmeans", "classes": 60, "merge_to": 10}, "few": {"method": "kmeans"}}
    config = loaded(tmp_path, {"models": models}, classes=7)
    assert (config.models["many"].merge_to, config.models["many"].settings.classes) == (7, 60)
    assert (config.models["few"].merge_to, config.models["few"].settings.classes) == (None, 7)


# sweeps


def test_a_sweep_crosses_options(tmp_path: Path) -> None:
    sweep = [{"model": "recal", "batch": [64, 128], "cut": ["scene", "input"]}, {"model": "recal", "seed": [3]}]
    config = loaded(tmp_path, {"models": MODELS, "sweep": sweep}, classes=7)
    names = [f"recal_batch-{batch}_cut-{cut}" for batch in (64, 128) for cut in ("scene", "input")] + ["recal_seed-3"]
    assert list(config.models) == ["kmeans", *names] and list(config.varied) == names
    assert config.models[names[2]].settings.batch == 128  # type: ignore[attr-defined]
    assert config.models["recal_seed-3"].seed == 3 and config.models["recal_seed-3"].settings.classes == 7
    assert config.varied[names[1]] == {"model": "recal", "batch": 64, "cut": "input"}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("recal", "sweep is a list"),
        ([{"batch": [1]}], "sweep is a list"),
        ([{"model": "iic", "batch": [1]}], "names the model 'iic'; this pipeline has kmeans, recal"),
        ([{"model": "recal", "batch": 4}], "batch needs a list"),
        ([{"model": "recal"}], "varies nothing"),
        ([{"model": "recal", "batchh": [4]}], "has no setting 'batchh'"),
    ],
)
def test_wrong_sweeps_are_refused(tmp_path: Path, sweep: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loaded(tmp_path, {"models": MODELS, "sweep": sweep})
