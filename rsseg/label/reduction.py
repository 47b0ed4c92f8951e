"""From many clusters to few classes: by the reference they lie on, or by their mean spectra."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rsseg.errors import UsageError
from rsseg.label.legend import Evidence, Legend, LegendClass
from rsseg.label.matching import assign_many_to_one
from rsseg.label.merging import doubts, group_means, merge_similar
from rsseg.label.spectra import ClusterSpectra

Found = dict[int, tuple[int, Evidence]]
"""Cluster -> its class, from 0, and why."""


def by_reference(
    table: np.ndarray,
    names: Sequence[str],
    colours: Sequence[str | None],
    made: Mapping[str, str],
    spectra: ClusterSpectra | None = None,
) -> Legend:
    """Each cluster gets the reference class that most of its reference pixels have (many to one, by counts).

    Clusters without a reference pixel go to the class of the named cluster with the nearest mean spectrum, if spectra
    are given; otherwise each becomes a class of its own that is marked unknown. Reference classes without a cluster
    stay in the legend.

    Args:
        table: (256, classes + 1) contingency of clusters against reference classes, no data included.
        names, colours: of the reference classes; a colour may be None.
        made: what the legend says of its making.

    Raises: UsageError if the classes are more than 255.
    """
    counts = table[1:, 1:]
    owners = assign_many_to_one(counts)
    named: Found = {int(row) + 1: _by_counts(counts[row], owners[row]) for row in np.flatnonzero(owners >= 0)}
    unnamed = [int(value) for value in np.flatnonzero(table[1:].sum(axis=1)) + 1 if value not in named]
    found = named | (_nearest(unnamed, named, spectra) if spectra is not None else {})
    return _legend(zip(names, colours, strict=True), found, unnamed, made)


def by_spectra(spectra: ClusterSpectra, classes: int, made: Mapping[str, str]) -> Legend:
    """Clusters with similar spectra make "class 1" to "class N", by falling number of pixels; see ``merge_similar``.

    With fewer clusters than ``classes`` each is a class. A cluster without a valid pixel in the scene becomes a class
    of its own that is marked unknown.
    """
    used = np.flatnonzero(spectra.counts)
    found: Found = {}
    if used.size:
        points, pixels = spectra.standardised[used], spectra.counts[used]
        groups = merge_similar(points, pixels, classes)
        centres = group_means(points, pixels, groups)
        doubt = doubts(points, groups, centres, np.arange(len(centres)))
        found = {
            int(value): (int(group), _by_spectrum(int(count), float(part)))
            for value, group, count, part in zip(used, groups, pixels, doubt, strict=True)
        }
    names = [(f"class {number}", None) for number in range(1, len({group for group, _ in found.values()}) + 1)]
    return _legend(names, found, [int(value) for value in np.flatnonzero(spectra.pixels)], made)


def _by_counts(row: np.ndarray, owner: int) -> tuple[int, Evidence]:
    pixels = int(row.sum())
    return int(owner), Evidence(how="reference", pixels=pixels, share=round(int(row[owner]) / pixels, 4))


def _by_spectrum(pixels: int, doubt: float) -> Evidence:
    return Evidence(how="spectra", pixels=pixels, doubt=None if np.isnan(doubt) else round(doubt, 4))


def _nearest(unnamed: Sequence[int], named: Found, spectra: ClusterSpectra) -> Found:
    """For clusters without a reference pixel, the class of the named cluster with the nearest spectrum."""
    seen = [value for value in unnamed if spectra.counts[value]]
    centres = [value for value in named if spectra.counts[value]]
    if not seen or not centres:
        return {}
    points = spectra.standardised
    classes = np.array([named[value][0] for value in centres])
    nearest = ((points[seen][:, None] - points[centres]) ** 2).sum(axis=2).argmin(axis=1)
    owners = classes[nearest]
    doubt = doubts(points[seen], owners, points[centres], classes)
    return {
        value: (int(owner), _by_spectrum(int(spectra.counts[value]), float(part)))
        for value, owner, part in zip(seen, owners, doubt, strict=True)
    }


def _legend(
    classes: Iterable[tuple[str, str | None]], found: Found, clusters: Sequence[int], made: Mapping[str, str]
) -> Legend:
    """The legend of named classes, then a class for each of the ``clusters`` that was not found one."""
    unknown = [value for value in clusters if value not in found]
    known = list(classes)
    if len(known) + len(unknown) > 255:
        raise UsageError(
            f"{len(known)} classes and {len(unknown)} clusters of no class are more than the 255 values of a map; "
            "--scene gives each cluster the class of the nearest spectrum"
        )
    lists: list[list[int]] = [[] for _ in known] + [[value] for value in unknown]
    for value, (owner, _) in found.items():
        lists[owner].append(value)
    titles = _distinct([name for name, _ in known] + [f"cluster {value}" for value in unknown])
    colours = [colour for _, colour in known] + [None] * len(unknown)
    evidence = {value: reason for value, (_, reason) in found.items()}
    evidence |= {value: Evidence(how="none", pixels=0) for value in unknown}
    return Legend(
        made=dict(made),
        classes=tuple(
            LegendClass(
                value=value,
                name=name,
                **({"colour": colour} if colour else {}),
                clusters=tuple(sorted(clusters)),
                unknown=value > len(known),
            )
            for value, (name, colour, clusters) in enumerate(zip(titles, colours, lists, strict=True), 1)
        ),
        evidence=dict(sorted(evidence.items())),
    )


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Names of which none occurs twice: a later one gets its place behind it."""
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        title = name.strip() or f"class {place}"
        while title in seen:
            title = f"{title} ({place})"
        seen.add(title)
        yield title
