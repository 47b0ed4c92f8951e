"""What the stage ``evaluate`` finds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from rsseg.label.area import SampleEstimates
from rsseg.label.mapping import Assignment
from rsseg.label.metrics.clustering import adjusted_rand_index, normalised_mutual_information
from rsseg.label.metrics.confusion import Confusion
from rsseg.label.numbered import NumberedMap
from rsseg.label.reference import PointReference, RasterReference, Reference
from rsseg.label.sample_design import SampleDesign
from rsseg.pipeline.stages.evaluate_regions import Segmentation

NO_AREA = "no areas: they are estimated from points drawn at random from the map (rsseg sample), not from chosen places"


@dataclass(frozen=True)
class Compared:
    """The map: its name, and the values and names of the clusters that meet the reference."""

    name: str
    clusters: tuple[int, ...]
    titles: tuple[str, ...]

    @classmethod
    def of(cls, source: NumberedMap, codes: tuple[int, ...]) -> Self:
        """The map with its clusters of some codes."""
        values = tuple(int(source.values[code]) for code in codes)
        return cls(source.name, values, tuple(source.title(code) for code in codes))


@dataclass(frozen=True)
class Fit:
    """Where clusters got their classes: the reference, and how many of its pixels or points the map labels."""

    reference: Reference
    compared: int

    @classmethod
    def of(cls, reference: Reference, table: np.ndarray) -> Self:
        """From the counts (codes, classes + 1) of map against reference."""
        return cls(reference, int(table[1:, 1:].sum()))

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"reference": self.reference.path.name, unit_of(self.reference): self.compared}


@dataclass(frozen=True)
class Estimates:
    """What a random sample says of the whole map; ``total_m2`` is the labelled area, None without CRS."""

    design: SampleDesign
    unanswered: int
    total_m2: float | None
    found: dict[Assignment, SampleEstimates]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        made = {"method": "Olofsson et al. (2014), stratified estimators", "confidence": 0.95}
        sample = {"unanswered_points": self.unanswered, "labelled_area_m2": self.total_m2}
        results = {
            name: {
                "overall_accuracy": result.overall_accuracy.record("value"),
                "classes": result.records(self.total_m2),
                "points": {
                    "orientation": "rows strata of the map, columns classes seen",
                    "rows": [stratum.name for stratum in self.design.strata],
                    "columns": [found.name for found in result.classes],
                    "counts": result.counts.tolist(),
                },
            }
            for name, result in self.found.items()
        }
        return {**made, **sample, "design": self.design.records(), "assignments": results}


@dataclass(frozen=True)
class Evaluation:
    """A label map's scores; ``table`` (clusters, classes) counts the pixels that map and reference both label.

    ``unlabelled`` counts reference pixels where the map has no data, which enter no score. With points as the reference
    all counts are of points, and there is no segmentation. For ``provenance`` see ``made_from``.
    """

    compared: Compared
    reference: Reference
    classes: tuple[str, ...]
    table: np.ndarray
    unlabelled: int
    confusions: dict[Assignment, Confusion]
    segmentation: Segmentation | None
    fit: Fit | None = None
    estimates: Estimates | None = None
    remarks: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the map is called."""
        return self.compared.name

    @property
    def clusters(self) -> tuple[int, ...]:
        """The map's values that meet the reference."""
        return self.compared.clusters

    @property
    def titles(self) -> tuple[str, ...]:
        """What they are called."""
        return self.compared.titles

    @property
    def unit(self) -> str:
        """What is counted: "pixels" or "points"."""
        return unit_of(self.reference)

    @property
    def pixels(self) -> int:
        """The pixels, or points, compared."""
        return int(self.table.sum())

    @property
    def nmi(self) -> float:
        """Normalised mutual information (arithmetic mean) of clusters and classes."""
        return normalised_mutual_information(self.table)

    @property
    def ari(self) -> float:
        """Adjusted Rand index of clusters and classes."""
        return adjusted_rand_index(self.table)

    @property
    def notes(self) -> list[str]:
        """What a user should know of how the scores came about, a sentence each."""
        notes = [*self.reference.notes, *self.remarks]
        if self.fit is not None:
            counted = f"{self.fit.compared} {unit_of(self.fit.reference)}"
            notes.append(f"clusters got their classes on {counted} of {self._fit_name()}, which enter no score")
        whole = isinstance(self.reference, RasterReference)
        return notes if whole or self.estimates is not None else [*notes, NO_AREA]

    def _fit_name(self) -> str:
        assert self.fit is not None
        halves = self.fit.reference.halves
        return f"part {halves.split.part}" if halves else self.fit.reference.path.name

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        halves = self.reference.halves
        return {
            "map": self.name,
            "reference": self.reference.path.name,
            "part": halves.as_dict() if halves else None,
            "fit": self.fit.as_dict() if self.fit else None,
            "unit": self.unit,
            "pixels": self.pixels,
            "unlabelled_pixels": self.unlabelled,
            "outside": getattr(self.reference, "outside", 0),
            "notes": self.notes,
            "nmi": self.nmi,
            "ari": self.ari,
            "segmentation": self.segmentation.as_dict() if self.segmentation else None,
            "assignments": {name: self._assignment(name) for name in self.confusions},
            "estimates": self.estimates.as_dict() if self.estimates else None,
            "contingency": {
                "orientation": "rows clusters of the map, columns classes of the reference",
                "rows": list(self.clusters),
                "titles": list(self.titles),
                "columns": list(self.classes),
                "counts": self.table.tolist(),
            },
            "provenance": dict(self.provenance),
        }

    def _assignment(self, name: Assignment) -> dict[str, Any]:
        result = self.confusions[name]
        named = {
            value: self.classes[owner] if owner >= 0 else None
            for value, owner in zip(self.clusters, result.assigned, strict=True)
        }
        scores = asdict(self.segmentation.scores[name]) if self.segmentation else None
        return {"assigned": named, **result.as_dict(), "segmentation": scores}


def unit_of(reference: Reference) -> str:
    """What a reference counts."""
    return "points" if isinstance(reference, PointReference) else "pixels"
