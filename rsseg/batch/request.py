"""What a batch is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rsseg.batch.records import Limits
from rsseg.batch.schedule import OnError
from rsseg.errors import InputError, UsageError
from rsseg.files import is_scratch
from rsseg.pipeline.cache import FOLDER
from rsseg.pipeline.configuration import PipelineConfig


@dataclass(frozen=True)
class Request:
    """A pipeline over an archive, with the choices of the command line.

    ``train``: sample (once, on ``sample`` scenes of the archive) or each (a model a scene, matched to one legend).
    ``models``: ``FILE`` or ``NAME=FILE``, models that are only applied. ``memory``: bytes of a worker. ``patience``:
    seconds to wait for a scheduler or for workers that were lost.
    """

    pipeline: str
    archive: Path
    output: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    where: Sequence[str] = ()
    aoi: Path | None = None
    train: Literal["sample", "each"] = "sample"
    sample: int = 8
    models: Sequence[str] = ()
    device: str = "auto"
    workers: int | None = None
    threads: int | None = None
    memory: int = 4 << 30
    scheduler: str | None = None
    patience: float = 600.0
    seconds: float | None = None
    retries: int = 2
    retry_failed: bool = False
    on_error: OnError = "skip"
    mosaic: bool = False
    new_legend: bool = False
    wait: bool = False

    @property
    def limits(self) -> Limits:
        """What every scene gets."""
        return Limits(self.seconds, self.memory)

    @property
    def each(self) -> bool:
        """Whether every scene trains its own models."""
        return self.train == "each" and not self.models


def given_models(words: Sequence[str], config: PipelineConfig) -> dict[str, Path]:
    """Model files by the pipeline's names: ``FILE`` where the pipeline has one model, else ``NAME=FILE`` for each.

    Raises: UsageError, InputError.
    """
    names, found = list(config.models), dict[str, Path]()
    for word in words:
        name, equals, file = word.partition("=")
        if not equals or name not in names:
            if len(names) > 1:
                raise UsageError(
                    f"--model {word}: the pipeline has several models; write NAME=FILE for {', '.join(names)}"
                )
            name, file = names[0], word
        if not Path(file).is_file():
            raise InputError(f"the model {file} does not exist")
        found[name] = Path(file).absolute()
    missing = [name for name in names if found and name not in found]
    if missing:
        raise UsageError(f"no model file is given for {', '.join(missing)}; add --model {missing[0]}=FILE")
    return found


def check_output_folder(request: Request) -> None:
    """Refuse an output that is a file, the archive, a run, or a folder of something else.

    Raises: UsageError.
    """
    output = request.output
    if output.is_file():
        raise UsageError(f"{output} is a file where a folder should be; choose another output")
    if output.resolve() == request.archive.resolve():
        raise UsageError(f"{output} is the archive itself; choose another output")
    if (output / "run.yaml").is_file():
        raise UsageError(f"{output} is a run of rsseg run or map; choose a new folder for the batch")
    ours = not output.is_dir() or (output / "batch.yaml").is_file()
    if not ours and not all(path.name == FOLDER or is_scratch(path) for path in output.iterdir()):
        raise UsageError(f"{output} holds other files and is no batch of rsseg; choose an empty or a new folder")
