"""Where the files of a run folder lie that the run itself only named."""

from pathlib import Path

PARENTS = 3
"""Folders above a run that are looked in: a run is often made from one of them."""


def lies_at(folder: Path, told: str) -> Path | None:
    """The file that a run in ``folder`` read as ``told``, seen from here or from around the run; None if it is gone."""
    given, here = Path(told), folder.resolve()
    places = [given]
    if not given.is_absolute():
        places += [parent / given for parent in (here, *list(here.parents)[:PARENTS])]
    return next((path for path in places if path.exists()), None)
