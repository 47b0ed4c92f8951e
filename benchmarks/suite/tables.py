"""Results of lines as JSON files, and all of them as one Markdown table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.lines import Row

HEAD = (
    "| line | ours | limit | ours / limit | instead | instead / ours | peak: ours, limit, instead (MiB) |\n"
    "|---|---|---|---|---|---|---|"
)


def save(result: Row, folder: Path) -> Path:
    """Write a line's result as ``LINE.json``; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{result['line']}.json"
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return target


def load(folder: Path, order: Sequence[str]) -> list[Row]:
    """The results kept in a folder, in the order of the suite; others after them, by name."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return [found.pop(name) for name in order if name in found] + list(found.values())


def markdown(results: Sequence[Row]) -> str:
    """The table, then a sentence for each line on what was compared, then the machines."""
    machines: dict[str, list[str]] = {}
    for one in results:
        machines.setdefault(_machine(one), []).append(one["line"])
    return "\n".join([HEAD, *map(_row, results), "", *map(_said, results), "", *_machines(machines, len(results)), ""])


def _row(result: Row) -> str:
    parts, found = result["parts"], result["ratios"]
    columns = [_part(result, kind) for kind in ("ours", "limit", "instead")]
    if absolute := _absolute(result):
        columns[0] = "; ".join([*([] if columns[0] == "-" else [columns[0]]), *absolute])
    near, far = (_ratio(result, found, name) for name in ("ours / limit", "instead / ours"))
    peaks = ", ".join(f"{peak:.0f}" if (peak := _peak(parts, kind)) else "-" for kind in ("ours", "limit", "instead"))
    return f"| {result['title']} | {columns[0]} | {columns[1]} | {near} | {columns[2]} | {far} | {peaks} |"


def _chosen(parts: Mapping[str, Row], kind: str) -> Row | None:
    """The part that a ratio is of: the slowest limit, the fastest alternative."""
    found = [row for name, row in parts.items() if name.startswith(kind)]
    if not found:
        return None
    return (min if kind == "instead" else max)(found, key=lambda row: row["seconds"] / row.get("work", 1))


def _peak(parts: Mapping[str, Row], kind: str) -> float | None:
    row = _chosen(parts, kind)
    return row["peak_mib"] if row else None


def _part(result: Row, kind: str) -> str:
    row = _chosen(result["parts"], kind)
    if row is None:
        return "-"
    if "work" in row:
        pace = row["work"] / row["seconds"]
        return f"{number(pace)} {result['unit']}/s"
    aim = next((aim for aim in result["aims"] if aim["quantity"] == "seconds" and kind == "ours"), None)
    return f"{number(row['seconds'])} s{f' ({_wanted(aim)})' if aim else ''}"


def _ratio(result: Row, found: Mapping[str, float], name: str) -> str:
    if name not in found:
        return "-"
    aim = next((aim for aim in result["aims"] if aim["quantity"] == name), None)
    return f"**{number(found[name])}**{f' ({_wanted(aim)})' if aim else ''}"


def _absolute(result: Row) -> list[str]:
    """Aims that are of no ratio, with what was measured."""
    return [
        f"{aim['quantity'].replace('_mib', ', MiB')} **{number(aim['value'])}** ({_wanted(aim)})"
        for aim in result["aims"]
        if "/" not in aim["quantity"] and aim["quantity"] != "seconds"
    ]


def _wanted(aim: Row) -> str:
    return f"{aim['aim']} wanted{'' if aim['met'] else ', missed'}"


def _said(result: Row) -> str:
    """What was compared: settings, parts in words with their times, and the rest that was measured."""
    settings = ", ".join(f"{key} {_value(value)}" for key, value in result["settings"].items())
    parts = "; ".join(
        f"{name}: {row['what']} ({number(row['seconds'])} s, {number(row['seconds_range'][0])} to "
        f"{number(row['seconds_range'][1])}; {row['peak_mib']:.0f} MiB{_more(row)})"
        for name, row in result["parts"].items()
    )
    derived = [f"{key}: {_value(value)}" for key, value in result["derived"].items()]
    repeats = result["parts"][next(iter(result["parts"]))]["repeats"]
    rest = "".join(f" {text[:1].upper()}{text[1:]}." for text in derived)
    return f"- **{result['title']}** ({settings + '; ' if settings else ''}repeats {repeats}). {parts}.{rest}"


def _more(row: Row) -> str:
    """What a part said beside its time: counts, sizes, times of its steps."""
    known = ("what", "seconds", "seconds_range", "peak_mib", "repeats", "work")
    return "".join(f"; {key.replace('_', ' ')} {_value(value)}" for key, value in row.items() if key not in known)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " x ".join(map(_value, value))
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Three significant figures, without an exponent where that reads well."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"


def _machine(result: Row) -> str:
    found = result["machine"]
    packages = ", ".join(
        f"{name} {found[name]}"
        for name in ("python", "numpy", "torch", "rasterio", "gdal", "scikit-learn", "scikit-image", "geopandas")
        if found.get(name)
    )
    memory = f", {found['memory_gib']:g} GiB" if found.get("memory_gib") else ""
    cores = f"{found['cores']} cores, {found['threads']} threads"
    return f"{found['cpu']}, {cores}{memory}; {packages}; {result['date']}"


def _machines(machines: Mapping[str, Sequence[str]], total: int) -> list[str]:
    return [
        f"{'Machine' if len(lines) == total else 'Machine of ' + ', '.join(lines)}: {text}."
        for text, lines in machines.items()
    ]
