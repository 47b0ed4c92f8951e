"""What was finished, so that the same command goes on where it stopped.

A stage is skipped when the hash of its configuration, its inputs' digests and its own version number is unchanged and
its manifest, written last, is whole. Device, threads and batch size are not part of the hash: they may not change the
answer.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rsseg.files import digest, stamp_of, write_text
from rsseg.publish.run_files import read_json

FOLDER = ".rsseg"


@dataclass(frozen=True)
class Node:
    """One stage: what it depends on, what it writes, how to run it, and what to check before any stage runs."""

    name: str
    version: int
    config: dict[str, Any]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    run: Callable[[], Any]
    check: Callable[[], None] | None = None


class Cache:
    """Manifests and remembered digests in a hidden folder of the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self._digests: dict[str, list[Any]] = read_json(self.folder / "digests.json")
        self._kept = True

    def finished(self, node: Node) -> bool:
        """Whether the node's outputs are there, whole, and of the present inputs and configuration."""
        manifest = read_json(self._manifest(node))
        if not manifest or not all(path.exists() for path in node.inputs):
            return False
        recorded = manifest.get("outputs", {})
        whole = all(recorded.get(self._place(path)) == stamp_of(path) for path in node.outputs)
        return whole and manifest.get("key") == self.key(node)

    def record(self, node: Node, key: str) -> None:
        """Write the node's manifest when all outputs are in place.

        ``key`` was taken before the node ran: an input that changes meanwhile makes it stale, not finished.
        """
        outputs = {self._place(path): stamp_of(path) for path in node.outputs}
        text = json.dumps({"key": key, "outputs": outputs}, indent=1, sort_keys=True)
        write_text(self._manifest(node), text, overwrite=True)
        self.keep()

    def keep(self) -> None:
        """Write the digests for the next run, where there are new ones."""
        if not self._kept:
            write_text(self.folder / "digests.json", json.dumps(self._digests, sort_keys=True), overwrite=True)
            self._kept = True

    def digest(self, path: Path) -> str:
        """The digest of a file, or of all files of a folder; files are read again only when size or time changed."""
        if path.is_dir():
            names = [f"{file.relative_to(path)}={self.digest(file)}" for file in files_below(path)]
            return hashlib.sha256("\n".join(names).encode()).hexdigest()
        stamp = stamp_of(path)
        known = self._digests.get(str(path.resolve()))
        if known is None or known[:2] != stamp:
            known = [*(stamp or []), digest(path)]
            self._digests[str(path.resolve())] = known
            self._kept = False
        return str(known[2])

    def known(self) -> dict[Path, str]:
        """The digests of files that have not changed since they were read."""
        paths = {Path(name): entry for name, entry in self._digests.items()}
        return {path: str(entry[2]) for path, entry in paths.items() if entry[:2] == stamp_of(path)}

    def key(self, node: Node) -> str:
        """What the node's outputs depend on, as one hash."""
        inputs = [self.digest(path) if path.exists() else "absent" for path in node.inputs]
        text = json.dumps([node.name, node.version, node.config, inputs], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _manifest(self, node: Node) -> Path:
        return self.folder / f"{quote(self._place(node.outputs[0]), safe=' ')}.json"

    def _place(self, path: Path) -> str:
        """Where an output lies in the run's folder, which may be named differently or moved between two runs."""
        return os.path.relpath(path, self.folder.parent)


def files_below(folder: Path) -> list[Path]:
    """The files that a folder's digest is made of, sorted: all but a cache's own."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != FOLDER]
        yield from (Path(place) / name for name in names)


def statuses(cache: Cache, nodes: Sequence[Node]) -> list[tuple[Node, bool]]:
    """Each node with whether it is finished; a node that reads another's pending output is pending too."""
    pending: set[Path] = set()
    listed = []
    for node in nodes:
        done = not pending.intersection(node.inputs) and cache.finished(node)
        if not done:
            pending.update(node.outputs)
        listed.append((node, done))
    return listed
