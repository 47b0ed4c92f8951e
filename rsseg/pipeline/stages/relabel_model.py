"""The stage ``relabel`` of a model: its maps are of a legend's classes from then on."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg.errors import UsageError
from rsseg.files import check_outputs
from rsseg.label.legend_file import read_legend, to_yaml
from rsseg.learn.model import load_model
from rsseg.pipeline.class_names import MODEL_SUFFIX, completed
from rsseg.publish.class_colours import coloured


@dataclass(frozen=True)
class NamedModel:
    """What naming a model gave: its identity, which stays, and the ``classes`` of its maps, names by value.

    ``added`` are the clusters that the legend lacked: each is a class of its own.
    """

    output: str
    legend: str
    model: str
    clusters: int
    classes: dict[int, str]
    added: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def name_model(model: Path, legend: Path, output: Path, *, overwrite: bool = False) -> NamedModel:
    """Write a model with a legend for its clusters, in place of the one that it may have.

    ``rsseg segment`` with the new model writes maps of the classes. Its tensors and its identity are the old ones. A
    cluster that the legend lacks, such as one without a pixel on the map that it is of, becomes an unknown class.

    Raises: InputError if the legend cannot be used; ModelError, UsageError.
    """
    if output.suffix.lower() != MODEL_SUFFIX:
        raise UsageError(f"{output} is not named like a model; end it in {MODEL_SUFFIX}")
    check_outputs([output], [model, legend], overwrite)
    loaded = load_model(model)
    chosen, added = completed(read_legend(legend), loaded.inference.classes)
    chosen = coloured(chosen)
    loaded.legend = to_yaml(chosen)
    identity = loaded.save(output, overwrite)
    names = {item.value: item.name for item in chosen.classes}
    return NamedModel(str(output), str(legend), identity, loaded.inference.classes, names, added)
