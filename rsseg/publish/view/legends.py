"""Names and colours that a user gives to the values of a map while looking at it, kept as a legend for relabelling.

The legend is a file of the user's own, which no run writes to. It begins as a copy of the legend that the map was made
with, where there is one, and then speaks of the clusters behind the map; otherwise it has a class for each value.
"""

import reprlib
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from rsseg.errors import InputError, UsageError
from rsseg.files import write_text
from rsseg.label.legend import Legend, LegendClass
from rsseg.label.legend_file import read_legend, to_yaml
from rsseg.publish.class_colours import coloured
from rsseg.publish.palette import LabelClass, default_colour
from rsseg.publish.view.opened import Stamp, stamp_of
from rsseg.publish.view.renaming import Renaming
from rsseg.scene.raster import open_raster

OF, MODEL = "of", "model"
"""What ``made`` of such a legend says: the map whose clusters it lists, and the model that labelled that map."""

_LONGEST = 2000
"""Letters of a name; what is longer was pasted by mistake."""

Looks = Mapping[int, tuple[str, str]]
"""Name and colour by value."""


class NamedValues:
    """The names of a map's values as the user's legend has them now; safe for several threads."""

    def __init__(self, renaming: Renaming) -> None:
        self.renaming = renaming
        self._lock = threading.Lock()
        self._known: tuple[tuple[Stamp, Stamp], dict[int, tuple[str, str]]] | None = None

    def read(self) -> Legend | None:
        """The user's legend, or None where there is none yet.

        Raises: InputError if it cannot be used, or is of another model's map.
        """
        target = self.renaming.target
        if not target.is_file():
            return None
        legend = read_legend(target)
        title = self.renaming.title
        of = legend.made.get(OF, title)
        if of != title:
            raise InputError(
                f"{target} names the clusters of {reprlib.repr(of)}, but this map is made of {title} now; "
                "move the file away to begin anew"
            )
        model, now = legend.made.get(MODEL), model_of(self.renaming.labels)
        if model is not None and now is not None and model != now:
            raise InputError(
                f"{target} names the clusters of an earlier model ({model[:12]}), the map is of another ({now[:12]}); "
                "move the file away to begin anew"
            )
        return legend

    def looks(self) -> dict[int, tuple[str, str]]:
        """Name and colour that the legend gives to values of the map; empty where there is none."""
        if not self.renaming.target.is_file():
            return {}
        stamps = stamp_of(self.renaming.target), stamp_of(self.renaming.labels)
        if self._known is None or self._known[0] != stamps:
            self._known = stamps, self._looks(self.read())
        return self._known[1]

    def _looks(self, legend: Legend | None) -> dict[int, tuple[str, str]]:
        if legend is None:
            return {}
        by_cluster = {cluster: item for item in coloured(legend).classes for cluster in item.clusters}
        found = {}
        for value in range(1, 256):
            item = next((by_cluster[c] for c in self.renaming.clusters(value) if c in by_cluster), None)
            if item is not None:
                found[value] = item.name, item.colour or default_colour(item.value)
        return found

    def rename(self, value: int, name: str, colour: str | None, looks: Looks) -> Legend:
        """Give a value of the map a name and perhaps a colour (``#rrggbb``), and write the legend.

        A value that gets the name of another class joins it. ``looks`` are the names and colours of all values that
        occur, for those that the legend does not know yet.
        Raises: UsageError for a value, name or colour that cannot be; InputError as ``read``.
        """
        if value not in looks:
            raise UsageError(f"the map has no value {value}; choose one of its legend")
        _check(value, name, colour)
        with self._lock:
            legend = self._completed(looks)
            legend = renamed(legend, self.renaming.clusters(value), name.strip(), colour, value, looks[value][1])
            write_text(self.renaming.target, to_yaml(legend), overwrite=True)
        return legend

    def _completed(self, looks: Looks) -> Legend:
        """The user's legend, or a new one, with a class for every value that occurs."""
        legend = self.read()
        made = dict(legend.made) if legend else dict(self.renaming.start.made if self.renaming.start else {})
        model = model_of(self.renaming.labels)
        made |= {OF: self.renaming.title, **({MODEL: model} if model else {})}
        begun = legend or self.renaming.start
        classes = [_coloured(item, looks) for item in begun.classes] if begun else []
        known = {cluster for item in classes for cluster in item.clusters}
        for value, (name, colour) in looks.items():
            lacking = tuple(cluster for cluster in self.renaming.clusters(value) if cluster not in known)
            if lacking:
                free = _free_value(classes, value)
                classes.append(LegendClass(value=free, name=_free_name(classes, name), colour=colour, clusters=lacking))
        return Legend(made=made, classes=tuple(classes), evidence=begun.evidence if begun else {})


def renamed(legend: Legend, clusters: tuple[int, ...], name: str, colour: str | None, value: int, shown: str) -> Legend:
    """The legend with these clusters in the class ``name``; evidence stays as it is.

    A class of just these clusters takes the name; where a class has the name already they join it; else they leave
    their class for a new one, with ``value`` if that is free, and the colour that was ``shown``.
    Raises: UsageError if no value is free.
    """
    moving = set(clusters)
    goal = next((item for item in legend.classes if item.name == name), None)
    if goal is None:
        goal = next((item for item in legend.classes if set(item.clusters) == moving), None)
    classes = []
    for item in legend.classes:
        left = tuple(cluster for cluster in item.clusters if cluster not in moving)
        if item is goal:
            classes.append(_taking(item, moving, name, colour))
        elif left or not item.clusters:
            classes.append(item.model_copy(update={"clusters": left}))
    if goal is None:
        free = _free_value(classes, value)
        classes.append(LegendClass(value=free, name=name, colour=colour or shown, clusters=clusters))
    return Legend(made=legend.made, classes=tuple(classes), evidence=legend.evidence)


def _taking(item: LegendClass, moving: set[int], name: str, colour: str | None) -> LegendClass:
    """A class with more clusters, under a name; one that got another name is known from then on."""
    change = {
        "name": name,
        "colour": colour or item.colour,
        "clusters": tuple(sorted({*item.clusters, *moving})),
        "unknown": item.unknown and item.name == name,
    }
    return item.model_copy(update=change)


def _coloured(item: LegendClass, looks: Looks) -> LegendClass:
    """A class in the colour that the map shows, where it has none of its own."""
    if item.colour is not None or item.value not in looks:
        return item
    return item.model_copy(update={"colour": looks[item.value][1]})


def model_of(labels: Path) -> str | None:
    """The identity of the model that labelled a map, where the map says so."""
    with open_raster(labels) as dataset:
        return dataset.tags().get("model")


def _check(value: int, name: str, colour: str | None) -> None:
    """Refuse what a legend could not hold.

    Raises: UsageError.
    """
    if not name.strip():
        raise UsageError("a name is needed; write one, such as water")
    if len(name) > _LONGEST:
        raise UsageError(f"a name of {len(name)} letters is too long; {_LONGEST} are the most")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the name holds half a character, which no file can keep; write it again") from None
    LabelClass(value, name, colour or default_colour(value))


def _free_value(classes: Iterable[LegendClass], wanted: int) -> int:
    """The wanted value, or the smallest that no class has."""
    taken = {item.value for item in classes}
    free = next((value for value in (wanted, *range(1, 256)) if value not in taken), None)
    if free is None:
        raise UsageError("the legend has 255 classes, which is all that a map can have; remove one from its file")
    return free


def _free_name(classes: Iterable[LegendClass], name: str) -> str:
    """The name, numbered where a class has it."""
    taken = {item.name for item in classes}
    return name if name not in taken else next(n for i in range(2, 999) if (n := f"{name} ({i})") not in taken)
