"""``rsseg doctor``: what this machine has, and what will not work on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rsseg
from rsseg.pipeline.stages import doctor_disk as disk
from rsseg.pipeline.stages import doctor_libraries as libraries
from rsseg.pipeline.stages import doctor_machine as machine
from rsseg.pipeline.stages import doctor_torch as torch
from rsseg.pipeline.stages.doctor_checks import Check, looked


@dataclass(frozen=True)
class Diagnosis:
    """All checks, in the order in which they are shown."""

    checks: tuple[Check, ...]

    @property
    def works(self) -> bool:
        """Whether a scene can be mapped."""
        return not any(check.state == "missing" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"works": self.works, "rsseg": rsseg.__version__, "checks": [check.as_dict() for check in self.checks]}


def doctor(folder: Path = Path()) -> Diagnosis:
    """Look at this machine and, with small files that are removed again, at ``folder`` for the results.

    Every library is asked by using it, and one that cannot be imported is a finding, never an error. Raises: nothing.
    """
    return Diagnosis((Check("rsseg", rsseg.__version__), *_checks(folder)))


def _checks(folder: Path) -> Iterator[Check]:
    yield from looked("python", machine.python)
    yield from looked("cores", machine.cores, needed=False)
    yield from looked("memory", machine.memory, needed=False)
    yield from looked("open files", machine.open_files, needed=False)
    yield from looked("texts", machine.texts, needed=False)
    yield from looked("disk", partial(disk.disk, folder))
    yield from looked("temporary", disk.temporary, needed=False)
    yield from looked("packages", libraries.packages)
    yield from looked("torch", torch.torch_itself)
    yield from looked("GPU", torch.gpus, needed=False)
    yield from looked("weights", torch.weights, needed=False)
    yield from looked("GDAL", libraries.gdal)
    yield from looked("vectors", libraries.vectors)
    yield from looked("projections", libraries.projections)
    yield from looked("conflicts", libraries.conflicts, needed=False)
