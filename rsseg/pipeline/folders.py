"""Folders of results that are replaced as a whole, without taking anything else with them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rsseg.errors import UsageError
from rsseg.files import replacing_folder


@contextmanager
def result_folder(target: Path, marker: str, inputs: Sequence[Path], overwrite: bool = False) -> Iterator[Path]:
    """Like ``files.replacing_folder``, but with ``overwrite`` only a folder that an earlier run wrote is replaced.

    Args:
        target: the folder.
        marker: a file that every such folder has.
        inputs: files that the run reads; they must not lie in the folder.

    Raises: UsageError.
    """
    for path in inputs:
        if path.resolve().is_relative_to(target.resolve()):
            raise UsageError(f"{path} lies in the output folder {target}, which is replaced as a whole; choose another")
    if overwrite and target.is_dir() and any(target.iterdir()) and not (target / marker).exists():
        raise UsageError(
            f"{target} holds other files than results of this command (no {marker}) and is not replaced; "
            "choose another output"
        )
    with replacing_folder(target, overwrite) as part:
        yield part
