"""Memory of a process and all it has started, sampled while it runs."""

import os
import threading
from pathlib import Path
from types import TracebackType

INTERVAL = 0.1


class TreePeak:
    """A context manager; ``peak_mib`` is the largest sum over a process and its descendants.

    ``shared``: count pages that several of them share once each (resident), or divided among them (proportional).
    """

    def __init__(self, root: int | None = None, *, shared: bool = True) -> None:
        self.root, self.peak_mib = root or os.getpid(), 0.0
        self._read = _resident if shared else _proportional
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "TreePeak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, sum(map(self._read, descendants(self.root))) / 1024)
            if self._done.wait(INTERVAL):
                return


def descendants(root: int) -> list[int]:
    """The process and all that descend from it, by /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def _parent(folder: Path) -> int | None:
    try:
        # the name in brackets may hold blanks and brackets
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _resident(process: int) -> int:
    return _field(Path(f"/proc/{process}/status"), "VmRSS:")


def _proportional(process: int) -> int:
    return _field(Path(f"/proc/{process}/smaps_rollup"), "Pss:")


def _field(path: Path, key: str) -> int:
    """A field in KiB; 0 where the process has gone."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)
