"""With what a run was made: configuration, choices, versions, inputs with checksums, times."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsseg.files import digest
from rsseg.publish.report.html import Html, Section, definitions, join, name, number, table, tag
from rsseg.publish.report.values import said
from rsseg.publish.run_files import read_json
from rsseg.publish.run_folder import RunFolder


def settings_section(run: RunFolder) -> Section:
    """Configuration and provenance."""
    parts = [Section("Configuration", _configuration(run)), Section("Software and machine", _software(run))]
    if run.choices:
        parts.insert(0, Section("What the scene decided", _choices(run.choices)))
    parts += [Section("Files and their checksums", _files(run)), Section("Times", _times(run))]
    return Section("Settings", parts=tuple(parts))


def _choices(choices: Mapping[str, Any]) -> Html:
    rows = [
        [key, name(said(item.get("settings"))), name(item.get("reason", ""))]
        for key, item in choices.items()
        if isinstance(item, dict)
    ]
    return table("Choices made from the scene's pixels", ["Choice", "Settings", "Reason"], rows)


def _configuration(run: RunFolder) -> Html:
    """All but the models' own settings, which stand with their training."""
    rows = [[key, name(value)] for key, value in _flat({k: v for k, v in run.config.items() if k != "models"})]
    note = tag("p", "The models' settings stand with their training; run.yaml has all of them.")
    return join([table("The run's configuration", ["Setting", "Value"], rows, class_="settings"), note])


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        title = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{title}: ")
        else:
            yield title, said(value)


def _software(run: RunFolder) -> Html:
    pairs: list[tuple[object, object]] = [("pipeline", name(run.provenance.get("pipeline", "")))]
    for part in ("software", "machine"):
        found = run.provenance.get(part)
        pairs += [(key, name(said(value))) for key, value in found.items()] if isinstance(found, dict) else []
    return definitions(pairs)


def _files(run: RunFolder) -> Html:
    rows = [[name(title), size, tag("td", tag("code", value))] for title, size, value in _digests(run)]
    caption = "SHA-256 of the inputs as the run read them, and of its models and maps as they are now"
    return table(caption, ["File", "Bytes", "SHA-256"], rows, class_="files")


def _digests(run: RunFolder) -> Iterator[tuple[str, int, str]]:
    """Inputs from outside the run as its cache remembers them, then models and maps."""
    own = run.folder.resolve()
    for place, found in sorted(read_json(run.folder / ".rsseg" / "digests.json").items()):
        path = Path(place)
        moved = any(
            (run.folder / Path(*path.parts[-count:])).exists() for count in (2, 3, 4) if len(path.parts) > count
        )
        if not path.is_relative_to(own) and not moved and isinstance(found, list) and len(found) == 3:
            yield _title(path, run), int(found[0]), str(found[2])
    made = [run.folder / "models" / f"{model.name}.safetensors" for model in run.models]
    made += [item.labels for scene in run.scenes for item in scene.maps]
    for path in made:
        yield path.relative_to(run.folder).as_posix(), path.stat().st_size, digest(path)


def _title(path: Path, run: RunFolder) -> str:
    """An input by the scene that it belongs to, or by its name: where it lay on that machine is nobody's business."""
    for scene in run.scenes:
        whole = Path(scene.path).resolve()
        if path == whole or path.is_relative_to(whole):
            return f"{scene.path}{'' if path == whole else '/' + path.relative_to(whole).as_posix()}"
    return path.name


def _times(run: RunFolder) -> Html:
    stages = [item for item in run.provenance.get("stages", []) if isinstance(item, dict)]
    rows = [
        [name(item.get("stage", "")), tag("td", number(float(item.get("seconds") or 0), 1), class_="n")]
        for item in stages
    ]
    return table("Seconds that each stage took when it last ran", ["Stage", "Seconds"], rows)
