"""The rasters of the stage ``consensus``: where several maps agree, how far, and what they say together."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rsseg.label.agreement import VoteTally, agreement
from rsseg.label.comparison import common_strips
from rsseg.label.consensus_frame import Frame
from rsseg.label.maps import LabelMap
from rsseg.label.reference import Reference
from rsseg.progress import Reporter
from rsseg.publish.gis import clean
from rsseg.publish.labels import ConfidenceWriter, LabelClass, LabelMapWriter
from rsseg.publish.palette import default_colour
from rsseg.scene.grid import Window

AGREEMENT, UNANIMOUS, COUNT = "agreement.tif", "unanimous.tif", "agreement_count.tif"
VOTE, ENTROPY = "vote.tif", "entropy.tif"

DISAGREE_COLOUR = "#d0d0d0"

_ROWS = 64
"""Rows compared at once: a strip's many small arrays then stay near the cache, and memory low."""


class _EntropyWriter(ConfidenceWriter):
    """Writes a normalised entropy as a confidence is written: uint8, scale 1/254, 255 = no data."""

    description = "normalised entropy of the votes"


def write_rasters(
    maps: Sequence[LabelMap],
    truth: Reference | None,
    frame: Frame,
    tallies: Sequence[VoteTally],
    folder: Path,
    reporter: Reporter,
) -> int:
    """The second pass over the maps: every raster, and the votes against the reference into ``tallies``.

    Returns: the pixels on which all maps agree.
    """
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer) for name, writer in _writers(maps, frame, folder).items()}
        for window, labels, codes in common_strips(maps, truth, reporter, "agreement"):
            for rows, part in _parts(window):
                cut = [values[rows] for values in labels]
                layers = agreement(cut, frame.tables, frame.pivot, frame.disagree)
                for name, writer in writers.items():
                    writer.write(getattr(layers, name), part)
                if codes is not None:
                    known = (codes[rows] > 0) & (cut[0] > 0)
                    for tally in tallies:
                        tally.add([values[known] for values in cut], codes[rows][known])
        unanimous = writers["unanimous"]
    assert isinstance(unanimous, LabelMapWriter)
    return int(unanimous.counts[1:].sum())


def _parts(window: Window) -> Iterator[tuple[slice, Window]]:
    for start in range(0, window.height, _ROWS):
        height = min(_ROWS, window.height - start)
        yield slice(start, start + height), Window(window.row + start, window.col, height, window.width)


def _writers(maps: Sequence[LabelMap], frame: Frame, folder: Path) -> dict[str, LabelMapWriter | ConfidenceWriter]:
    """A writer for each layer; of two maps the vote would be the pivot itself."""
    grid, classes = maps[0].grid, common_classes(maps, frame)
    tags = {"maps": ", ".join(clean(item.name) for item in maps), "pivot": clean(maps[frame.pivot].name)}
    with_other = [*classes, LabelClass(frame.disagree, "disagree", DISAGREE_COLOUR)]
    writers: dict[str, LabelMapWriter | ConfidenceWriter] = {
        "agreement": LabelMapWriter(folder / AGREEMENT, grid, with_other, tags=tags),
        "unanimous": LabelMapWriter(folder / UNANIMOUS, grid, classes, tags=tags),
        "count": LabelMapWriter(folder / COUNT, grid, _count_classes(len(maps)), tags=tags),
        "entropy": _EntropyWriter(folder / ENTROPY, grid, tags=tags),
    }
    return writers | ({"vote": LabelMapWriter(folder / VOTE, grid, classes, tags=tags)} if len(maps) > 2 else {})


def common_classes(maps: Sequence[LabelMap], frame: Frame) -> list[LabelClass]:
    """Names and colours of the common values."""
    classes = []
    for value, (place, cluster) in sorted(frame.sources.items()):
        item = maps[place]
        name = item.names[cluster] if frame.used == "names" else item.title(cluster)
        classes.append(LabelClass(value, name, item.colours.get(cluster, default_colour(cluster))))
    return classes


def _count_classes(total: int) -> list[LabelClass]:
    shades = np.linspace(225, 40, total).astype(int)
    classes = [LabelClass(1, "no two maps agree", "#{0:02x}{0:02x}{0:02x}".format(shades[0]))]
    return classes + [
        LabelClass(n, f"{n} of {total} maps agree", "#{0:02x}{0:02x}ff".format(shades[n - 1]))
        for n in range(2, total + 1)
    ]
