"""What one look at the machine gave."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Check:
    """``found`` is what there is. Of a problem: what will not work, and the remedy, what to do about it.

    A warning is of something that a map of a scene can be made without; what is missing, it cannot.
    """

    name: str
    found: str
    state: State = "ok"
    problem: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


Look = Callable[[], Iterable[Check]]


def looked(name: str, look: Look, needed: bool = True) -> Iterator[Check]:
    """The checks of a look; one that breaks down is a problem itself, whatever it breaks down with."""
    try:
        yield from look()
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        yield Check(
            name, said, "missing" if needed else "warning", f"{name} could not be looked at", "install it again"
        )


def size(count: float) -> str:
    """A number of bytes as text."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if count < 100 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
