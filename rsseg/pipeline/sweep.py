"""Sweeps: one model of a pipeline becomes several, its options crossed."""

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Any

from rsseg.errors import UsageError
from rsseg.label.legend import in_a_line

MOST = 1000
"""Models that sweeps may make: each is trained, and lies in files of its own."""

FORM = "sweep is a list of entries such as {model: wce, classifiers: [1, 2], extractor: [dic, kanezaki]}"


def expanded(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A pipeline's content without ``sweep``: the models crossed, and in ``varied`` what of each was varied.

    Each entry names a model and gives lists of values of its options, which are crossed; several entries stand one
    after another. A swept model is replaced by its variants. Raises: UsageError.
    """
    made = dict(content)
    entries = made.pop("sweep", None) or []
    if not entries:
        return made
    models = made.get("models") or {}
    if not isinstance(models, dict):
        raise UsageError(f"{source}: models should be names with their settings, such as recal: {{method: recal}}")
    varied: dict[str, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        name, options = _checked(entry, models, source)
        count = len(varied) + prod(map(len, options.values()))  # before they are made
        if count > MOST:
            raise UsageError(f"{source}: its sweeps make {count} models, more than {MOST}; vary less at once")
        for values in product(*options.values()):
            chosen = dict(zip(options, values, strict=True))
            title = _title(name, chosen)
            if title in varied or title in models:
                raise UsageError(
                    f"{source}: two models of the sweep would be called {in_a_line(title)}; vary otherwise"
                )
            varied[title] = {"model": name, **chosen}
    swept = {row["model"] for row in varied.values()}
    variants = {title: {**models[row["model"]], **_without_model(row)} for title, row in varied.items()}
    made["models"] = {**{name: model for name, model in models.items() if name not in swept}, **variants}
    made["varied"] = varied
    return made


def _checked(entry: Any, models: Mapping[str, Any], source: str) -> tuple[str, dict[str, list[Any]]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise UsageError(f"{source}: {FORM}")
    name, options = entry["model"], _without_model(entry)
    if not isinstance(models.get(name), dict):
        known = in_a_line(", ".join(map(str, models)), 200)
        raise UsageError(f"{source}: sweep names the model {in_a_line(name)!r}; this pipeline has {known}")
    for key, values in options.items():
        if not isinstance(key, str):
            raise UsageError(f"{source}: sweep of {in_a_line(name)}: {key!r} is no option; {FORM}")
        if not isinstance(values, list) or not values:
            raise UsageError(f"{source}: sweep of {in_a_line(name)}: {in_a_line(key)} needs a list of values; {FORM}")
    if not options:
        raise UsageError(f"{source}: the sweep of {in_a_line(name)} varies nothing; {FORM}")
    return name, options


def _without_model(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "model"}


def _title(name: str, chosen: Mapping[str, Any]) -> str:
    """A variant's name, which becomes a file name: wce_extractor-dic_classifiers-2."""
    words = [f"{key.replace('_', '-')}-{value}" for key, value in chosen.items()]
    text = "_".join([name, *words])
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in text)
