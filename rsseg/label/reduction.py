"""From many clusters to few classes: by the reference they lie on, or by their mean spectra."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rsseg.errors import UsageError
from rsseg.label.legend import Evidence, How, Legend, LegendClass, writable
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
    *,
    values: Sequence[int] | None = None,
    how: How = "reference",
) -> Legend:
    """Each cluster gets the reference class that most of its reference pixels have (many to one, by counts).

    Clusters without a reference pixel go to the class of the named cluster with the nearest mean spectrum, if spectra
    are given; otherwise each becomes a class of its own that is marked unknown. Reference classes without a cluster
    stay in the legend.

    Args:
        table: (256, classes + 1) contingency of clusters against reference classes, no data included.
        names, colours: of the reference classes; a colour may be None.
        made: what the legend says of its making.
        values: of the classes in the map to be, by default 1, 2, ...
        how: what the evidence calls the reference.

    Raises: UsageError if the classes are more than 255.
    """
    counts, titles = table[1:, 1:], tuple(distinct(names))
    owners = assign_many_to_one(counts)
    named: Found = {
        int(row) + 1: (int(owners[row]), _by_counts(counts[row], int(owners[row]), titles, how))
        for row in np.flatnonzero(owners >= 0)
    }
    unnamed = [int(value) for value in np.flatnonzero(table[1:].sum(axis=1)) + 1 if value not in named]
    found = named | (_nearest(unnamed, named, spectra) if spectra is not None else {})
    return legend_of(zip(titles, colours, strict=True), found, unnamed, made, values)


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
            int(value): (int(group), by_spectrum(int(count), float(part)))
            for value, group, count, part in zip(used, groups, pixels, doubt, strict=True)
        }
    names = [(f"class {number}", None) for number in range(1, len({group for group, _ in found.values()}) + 1)]
    return legend_of(names, found, [int(value) for value in np.flatnonzero(spectra.pixels)], made)


def _by_counts(row: np.ndarray, owner: int, names: Sequence[str], how: How) -> Evidence:
    """What the pixels (classes,) of a cluster on the reference say of its class."""
    pixels, first = int(row.sum()), int(row[owner])
    others = np.delete(row, owner)
    evidence = Evidence(how=how, pixels=pixels, share=round(first / pixels, 4))
    if not others.size:
        return evidence
    second = int(others.max())
    place = int(others.argmax())
    title = names[place + (place >= owner)] if second else None
    return evidence.model_copy(update={"doubt": round(second / (first + second), 4), "next": title})


def by_spectrum(pixels: int, doubt: float) -> Evidence:
    """What a cluster's mean spectrum says of its class; ``doubt`` may be NaN."""
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
        value: (int(owner), by_spectrum(int(spectra.counts[value]), float(part)))
        for value, owner, part in zip(seen, owners, doubt, strict=True)
    }


def legend_of(
    classes: Iterable[tuple[str, str | None]],
    found: Found,
    clusters: Sequence[int],
    made: Mapping[str, str],
    values: Sequence[int] | None = None,
) -> Legend:
    """The legend of named classes, then a class for each of the ``clusters`` that was not found one.

    ``values`` are those of the named classes; the others get the lowest that are free.
    """
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
    taken = list(values) if values is not None else list(range(1, len(known) + 1))
    free = (value for value in range(1, 256) if value not in taken)
    titles = distinct([name for name, _ in known] + [f"cluster {value}" for value in unknown])
    colours = [colour for _, colour in known] + [None] * len(unknown)
    numbers = [*taken, *(next(free) for _ in unknown)]
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
                unknown=place >= len(known),
            )
            for place, (value, name, colour, clusters) in enumerate(zip(numbers, titles, colours, lists, strict=True))
        ),
        evidence=dict(sorted(evidence.items())),
    )


def distinct(names: Sequence[str]) -> Iterator[str]:
    """Names of which none occurs twice: a later one gets its place behind it."""
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        title = writable(name.strip()) or f"class {place}"
        while title in seen:
            title = f"{title} ({place})"
        seen.add(title)
        yield title
