"""How a scene of a batch ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self


@dataclass(frozen=True)
class Outcome:
    """One scene's end, in plain values that travel between processes.

    ``name`` is its folder in the output, ``place`` where it lies in the archive. Of a failure: its ``kind`` (the
    error's type, or disk, memory, time, worker, unexpected), ``cause`` and ``remedy``, and whether it may be gone at
    another try (``passing``). Of a scene that is done: its label maps by model, as paths in the output, and ``facts``.
    """

    name: str
    place: str
    state: Literal["done", "failed"]
    kind: str = ""
    cause: str = ""
    remedy: str = ""
    passing: bool = False
    maps: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the scene has its maps."""
        return self.state == "done"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """The outcome that ``as_dict`` wrote; keys that it does not know are left out.

        Raises: TypeError if one is missing.
        """
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})
