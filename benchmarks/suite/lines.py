"""What a line of the benchmark suite is, and what is worked out from its measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Row = dict[str, Any]
"""What one run of a part measured: ``seconds``, ``peak_mib``, and what else it says."""


@dataclass(frozen=True)
class Aim:
    """A bound wanted of a ratio, of a derived number, or of ``ours``' ``seconds`` or ``peak_mib``.

    It is the largest that is good enough, and of ``instead / ours`` the smallest.
    """

    quantity: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.bound if self.quantity == "instead / ours" else value <= self.bound

    def said(self) -> str:
        """The bound as a reader is told of it."""
        return f"{'at least' if self.quantity == 'instead / ours' else 'at most'} {self.bound:g}"


@dataclass(frozen=True)
class Line:
    """One line: its parts, each a function of ``module`` that takes (folder, settings) and returns a ``Row``.

    ``parts`` says in words what each part is; keys are the functions' names, or ``name@argument`` for functions that
    take a third argument, a text. ``ours`` is compared with the slowest of
    those that begin with ``limit`` (each bounds it from below) and the fastest of those that begin with ``instead``.
    Other parts are only listed. A row's ``seconds`` are the part's own, without imports; where parts do unequal work
    they say how much of ``unit`` in ``work``, and ratios are of seconds a unit. ``peak_mib`` may be given, too;
    else it is the process's own. ``prepare``, where the module has it, makes the inputs in ``folder``, once.
    The module's top imports nothing large, for a child's peak starts at the size of the parent, which reads it.
    """

    name: str
    title: str
    module: str
    parts: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    """Settings with ``--full``, over the others."""
    unit: str = ""
    aims: Sequence[Aim] = ()
    derive: Callable[[dict[str, Row]], Row] | None = None
    """Further numbers from the parts' results."""
    prepare: str = "prepare"

    def chosen(self, full: bool, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run; ``given`` may hold keys that this line does not have."""
        settings = {**self.settings, **(self.full if full else {})}
        return settings | {key: value for key, value in given.items() if key in settings}


def reduced(rows: Sequence[Row]) -> Row:
    """Repeats of one part: medians of numbers, the seconds' range, the largest peak; the last of anything else."""
    found = {key: _middle([row[key] for row in rows]) for key in rows[-1]}
    seconds = [row["seconds"] for row in rows]
    peak = max(row["peak_mib"] for row in rows)
    return {**found, "seconds_range": [min(seconds), max(seconds)], "peak_mib": peak, "repeats": len(rows)}


def _middle(values: list[Any]) -> Any:
    if isinstance(values[-1], Mapping):
        return {key: _middle([value[key] for value in values]) for key in values[-1]}
    return median(values) if all(isinstance(value, int | float) for value in values) else values[-1]


def ratios(parts: Mapping[str, Row]) -> dict[str, float]:
    """How far ours is from the binding limit, and the fastest alternative from ours, in seconds a unit of work."""
    pace = {name: row["seconds"] / row.get("work", 1) for name, row in parts.items()}
    limits = [seconds for name, seconds in pace.items() if name.startswith("limit")]
    others = [seconds for name, seconds in pace.items() if name.startswith("instead")]
    found = {}
    if "ours" in pace and limits:
        found["ours / limit"] = pace["ours"] / max(limits)
    if "ours" in pace and others:
        found["instead / ours"] = min(others) / pace["ours"]
    return found


def judged(aims: Sequence[Aim], known: Mapping[str, Any]) -> list[Row]:
    """Every aim with what was measured and whether it is met."""
    values = [(aim, known[aim.quantity]) for aim in aims if aim.quantity in known]
    return [{"quantity": aim.quantity, "aim": aim.said(), "value": v, "met": aim.met(v)} for aim, v in values]
