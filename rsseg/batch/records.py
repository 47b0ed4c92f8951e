"""What became of each scene, so that the same command goes on where it stopped.

A scene needs no work when its record names the present work (pipeline, models, code version), the present files of the
product (by size and time or, where these changed, by content) and outputs that are all in place. A failure that another
try would repeat is remembered in the same way.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome
from rsseg.batch.products import product_files
from rsseg.files import digest, stamp_of, write_text
from rsseg.pipeline.cache import FOLDER
from rsseg.publish.run_files import read_json

Stamps = dict[str, list[int]]


@dataclass(frozen=True)
class Limits:
    """What a scene was given: ``seconds`` of time (None without a limit) and bytes of ``memory``."""

    seconds: float | None
    memory: int

    def above(self, other: Mapping[str, Any]) -> bool:
        """Whether a scene has more than it had then."""
        then = other.get("seconds")
        longer = then is not None and (self.seconds is None or self.seconds > then)
        return longer or self.memory > int(other.get("memory") or 0)


class Records:
    """The records of an output folder, a file a scene."""

    def __init__(self, output: Path, write: bool = True) -> None:
        """``write``: remember the new times of products that were copied."""
        self.output, self.remember = output, write
        self.folder = output / FOLDER / "scenes"

    def settled(self, job: Job, key: str, limits: Limits) -> Outcome | None:
        """How the scene ended, if the same would come of doing it again; None if there is work to do."""
        record = read_json(self._path(job))
        if not record or record.get("key") != key:
            return None
        try:
            outcome = Outcome.of_dict(record["outcome"])
            if outcome.passing or (outcome.kind in ("time", "memory") and limits.above(record["limits"])):
                return None
            whole = all(stamp_of(self.output / name) == stamp for name, stamp in record["outputs"].items())
            return outcome if whole and self._same_inputs(job, record) else None
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def write(self, job: Job, key: str, limits: Limits, outcome: Outcome, digests: Mapping[str, str]) -> None:
        """Record a scene's end; ``digests`` are those of its product's files (see ``content_of``)."""
        folder = self.output / "scenes" / job.name
        names = _files(folder) if outcome.done else []
        record = {
            "key": key,
            "inputs": stamps_of(job.path),
            "content": dict(digests),
            "outputs": {name.relative_to(self.output).as_posix(): stamp_of(name) for name in names},
            "limits": vars(limits),
            "outcome": outcome.as_dict(),
        }
        self._write(job, record)

    def _same_inputs(self, job: Job, record: dict[str, Any]) -> bool:
        """Whether the product's files are the recorded ones; copies of equal bytes are, and are remembered."""
        now = stamps_of(job.path)
        if now == record["inputs"]:
            return True
        if now.keys() != record["inputs"].keys() or content_of(job.path) != record["content"]:
            return False
        if self.remember:
            self._write(job, {**record, "inputs": now})
        return True

    def _write(self, job: Job, record: Mapping[str, Any]) -> None:
        write_text(self._path(job), json.dumps(record, indent=1, sort_keys=True) + "\n", overwrite=True)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.name}.json"


def stamps_of(path: Path) -> Stamps:
    """Size and time of every file of a product, by its name; empty if it is gone."""
    found = {_name(path, file): stamp_of(file) for file in product_files(path)}
    return {name: stamp for name, stamp in found.items() if stamp}


def content_of(path: Path, known: Mapping[Path, str] | None = None) -> dict[str, str]:
    """SHA-256 of every file of a product, by its name; ``known`` are those that need not be read again."""
    known = known or {}
    return {
        _name(path, file): known.get(file.resolve()) or digest(file) for file in product_files(path) if file.is_file()
    }


def work_key(*parts: Any) -> str:
    """What is done to every scene, as one hash: the resolved pipeline, the models' contents, the code's version."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _name(path: Path, file: Path) -> str:
    return file.relative_to(path).as_posix() if file != path and file.is_relative_to(path) else file.name


def _files(folder: Path) -> list[Path]:
    """The files of a scene's results; what is hidden is not of them."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        # maps in common classes are made after the scene, and are the common legend's to look after
        later = "common" if Path(place) == folder / folder.name else None
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != later)
        found += [Path(place) / name for name in sorted(names)]
    return found
