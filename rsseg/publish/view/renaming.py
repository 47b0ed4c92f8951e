"""Which file renaming the values of a map writes, and the map whose clusters that file lists."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import InputError
from rsseg.label.legend import Legend
from rsseg.label.legend_file import legend_path, read_legend
from rsseg.label.maps import LabelMap
from rsseg.scene.grid import Window
from rsseg.scene.raster import same_grid


@dataclass(frozen=True)
class Renaming:
    """What renaming the values of a map writes, and from what.

    ``target`` is the legend's file, ``source`` the map whose clusters it lists, ``title`` what the file calls that map,
    ``start`` the legend that made the map of ``source`` (None where the two are one), ``output`` where ``rsseg
    relabel`` is to write.
    """

    labels: Path
    target: Path
    source: Path
    title: str
    output: Path
    start: Legend | None = None

    @property
    def command(self) -> str:
        """The command that makes the map of the legend, for a shell."""
        words = ["rsseg", "relabel", str(self.source), "--legend", str(self.target), "-o", str(self.output)]
        return shlex.join(words + (["--overwrite"] if self.output.exists() else []))

    def clusters(self, value: int) -> tuple[int, ...]:
        """The clusters of ``source`` that a value of the map stands for."""
        if self.start is None:
            return (value,)
        return next((item.clusters for item in self.start.classes if item.value == value), ())


def renaming_of(
    labels: Path, target: Path, output: Path, sources: Iterable[Path] = (), root: Path | None = None
) -> Renaming:
    """How the values of a map are named.

    Args:
        labels: the map that is shown.
        target: the user's legend.
        output: where the relabelled map is to go.
        sources: maps of clusters that it may have been made of, by the legend beside it; the first that fits counts.
        root: the folder that the legend's mention of the source is relative to.
    """
    made_by = legend_path(labels)
    if made_by.is_file() and made_by != target:
        try:
            legend = read_legend(made_by)
        except InputError:
            legend = None
        for source in sources:
            if legend is not None and source.is_file() and _makes(legend, source, labels):
                return Renaming(labels, target, source, _title(source, root), output, legend)
    return Renaming(labels, target, labels, _title(labels, root), output)


def _title(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root else path.name


def _makes(legend: Legend, source: Path, labels: Path) -> bool:
    """Whether the legend turns one map into the other, as far as eight of its rows can tell."""
    try:
        with LabelMap(source) as before, LabelMap(labels) as after:
            if not same_grid(before.grid, after.grid):
                return False
            height, width = before.grid.shape
            strips = [Window(round(part * (height - 1) / 7), 0, 1, width) for part in range(8)]
            return all((legend.table[before.read(strip)] == after.read(strip)).all() for strip in strips)
    except InputError:
        return False
