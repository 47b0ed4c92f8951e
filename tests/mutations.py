"""Seeded changes of real files, made by those who know their structure: the cases that fuzzing runs."""

import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hostile import SPEC, small_model
from products import LISS3_META, LISS4_META, landsat_mtl
from safetensors.torch import load

from rsseg.errors import RssegError
from rsseg.label.yaml_files import parse_yaml
from rsseg.learn.model import Inference, identity_of
from rsseg.learn.model_checks import check_numbers
from rsseg.learn.networks.dense import DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetworkSpec
from rsseg.learn.networks.vote import VoteSpec

NUMBERS: list[Any] = [0, 1, -1, 2, 255, 256, 65_536, 65_537, 1 << 31, 1 << 63, 10**30, 0.5, -0.0, 1e308, 1e-320]
ODD: list[Any] = [
    float("nan"),
    float("inf"),
    None,
    True,
    False,
    [],
    {},
    "",
    " ",
    "0",
    "nan",
    "\x00",
    "\x1b]0;x\x07",
    "\u202e",
]
WORDS: list[Any] = [
    "a" * 300,
    "9" * 5000,
    "../../x",
    "CON",
    "वन",
    "\udcff",
    "1e999",
    "-NA-",
    "99-FEB-9999 99:99:99",
    [[]],
]
VALUES = [*NUMBERS, *ODD, *WORDS]

YAML_PARTS = (
    *("*a ", "&a ", "<<: *a\n", "!!python/object:os.system ", "!!binary ", "!!timestamp x", "!!bool x", "!!int ''"),
    *(
        "? ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "|\n",
        ">\n",
        "'",
        '"',
        "%YAML 9.9\n",
        "---\n",
        "...\n",
        "\t",
        "\x85",
        "\ufeff",
    ),
    *(".nan", "-.inf", "1e999", "1:1:1:1", "0x" + "f" * 80, "2024-13-01", "=", "~", "sweep: ", "models: ", "method: "),
)


def mutated(target: str, seeds: Sequence[bytes], random: Random) -> bytes:
    """One case: a seed changed a few times, mostly by its structure and sometimes byte by byte."""
    data = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        change = random.choice((*CHANGES[target], _bytes))
        with suppress(
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            struct.error,
            RssegError,
            yaml.YAMLError,
            RecursionError,
        ):
            data = change(data, random)
    return data


def _bytes(data: bytes, random: Random) -> bytes:
    """Flip, cut, repeat or insert bytes anywhere."""
    place, length = random.randrange(len(data) + 1), random.randrange(1, 17)
    match random.randrange(5):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + data[place + length :]
        case 2:
            return data[:place] + random.randbytes(length) + data[place:]
        case 3:
            return data[:place] + data[place : place + length] * random.randrange(2, 9) + data[place + length :]
    if place == len(data):
        return data
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _lines(data: bytes, random: Random) -> bytes:
    """Drop, double, swap or indent lines."""
    lines = data.split(b"\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(two, lines[one])
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            lines[one] = random.choice((b"  ", b"- ", b"\t")) + lines[one]
    return b"\n".join(lines)


def _value(data: bytes, random: Random) -> bytes:
    """Another value behind an equals sign."""
    lines = data.decode("utf-8", errors="surrogateescape").split("\n")
    chosen = random.choice([number for number, line in enumerate(lines) if "=" in line])
    lines[chosen] = f"{lines[chosen].partition('=')[0]}= {random.choice(VALUES)}"
    return "\n".join(lines).encode("utf-8", errors="replace")


def _changed(tree: Any, random: Random) -> Any:
    """A tree of JSON with another value, key or branch somewhere."""
    if not isinstance(tree, dict | list) or not tree or random.random() < 0.1:
        return random.choice(VALUES)
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key, kind = random.choice(keys), random.random()
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    if kind < 0.1:
        del made[key]
    elif kind < 0.2 and isinstance(made, dict):
        made[random.choice(["x", "", "classes", "heads", "\x1b", 5, "<<"])] = random.choice((made[key], *VALUES))
    elif kind < 0.3 and isinstance(made, list):
        made.append(made[key])
    elif kind < 0.35:
        made[key] = [made[key]] * random.choice((1, 2, 40))
    else:
        made[key] = _changed(tree[key], random)
    return made


def _json(data: bytes, random: Random) -> bytes:
    return json.dumps(_changed(json.loads(data), random)).encode()


def _yaml(data: bytes, random: Random) -> bytes:
    return yaml.safe_dump(
        _changed(parse_yaml(data.decode(), "seed"), random), allow_unicode=random.random() < 0.5
    ).encode()


def _yaml_text(data: bytes, random: Random) -> bytes:
    """Put what means something to YAML somewhere, preferably at the start of a word."""
    text = data.decode("utf-8", errors="replace")
    places = [0, len(text), *(place + 1 for place, letter in enumerate(text) if letter in " \n[{")]
    place = random.choice(places)
    return (text[:place] + random.choice(YAML_PARTS) + text[place:]).encode("utf-8", errors="replace")


def _model_part(data: bytes, random: Random) -> bytes:
    """Another header, other notes or other bytes of a model; mostly with the identity that fits them."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    kind = random.random()
    if kind < 0.2:
        header = _changed(header, random)
    elif kind < 0.35 and body:
        place = random.randrange(len(body))
        body[place : place + 4] = random.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", random.randbytes(4)))
    else:
        notes = json.loads(header["__metadata__"]["rsseg"])
        part = random.choice(("inference", "inference", "inference", *notes))
        notes[part] = _changed(notes[part], random)
        header["__metadata__"]["rsseg"] = json.dumps(notes)
    return _forged(header, bytes(body)) if random.random() < 0.9 else _file(header, bytes(body))


def _file(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _forged(header: Any, body: bytes) -> bytes:
    """With the identity of what it holds, where that can be computed."""
    try:
        notes = json.loads(header["__metadata__"]["rsseg"])
        check_numbers(notes["inference"])
        notes["identity"] = identity_of(Inference.model_validate(notes["inference"]), load(_file(header, body)))
        header["__metadata__"]["rsseg"] = json.dumps(notes)
    except Exception:  # the file is then refused for another reason, which is what it is for
        return _file(header, body)
    return _file(header, body)


CHANGES: dict[str, tuple[Callable[[bytes, Random], bytes], ...]] = {
    "metadata": (_value, _value, _value, _lines, _json),
    "configuration": (_yaml, _yaml, _yaml, _yaml_text, _yaml_text, _lines),
    "model": (_model_part,) * 6,
}


def seeds(target: str, corpus: Path) -> list[bytes]:
    """The real files that changes begin with, and what the corpus holds for a target."""
    known = sorted(path for path in (corpus / target).glob("*") if path.is_file())
    return [*REAL[target](), *(path.read_bytes() for path in known)]


def _real_metadata() -> list[bytes]:
    texts = [LISS3_META, LISS4_META, landsat_mtl(), landsat_mtl(level="L2SP")]
    groups = {"PRODUCT_CONTENTS": {"PROCESSING_LEVEL": "L1TP", "FILE_NAME_BAND_3": "SCENE_B3.TIF"}}
    bands = {f"REFLECTANCE_{kind}_BAND_3": value for kind, value in (("MULT", "2e-5"), ("ADD", "-0.1"))}
    tree = {"LANDSAT_METADATA_FILE": {**groups, "IMAGE_ATTRIBUTES": {"SPACECRAFT_ID": "LANDSAT_8"}, "X": bands}}
    return [*(text.encode() for text in texts), json.dumps(tree).encode()]


def _real_configurations() -> list[bytes]:
    pipelines = Path(__file__).parents[1] / "pipelines"
    sweep = "models: {a: {method: wce}}\nsweep:\n- {model: a, seed: [1, 2], extractor: [dic, kanezaki]}\n"
    legend = (
        'made: {by: hand}\nclasses:\n- {value: 1, name: water, colour: "#0072b2", clusters: [1, 3]}\n'
        "- value: 2\n  name: other\n  clusters: []\nevidence:\n  1: {how: map, pixels: 5, share: 0.5, doubt: 0.1}\n"
    )
    alias = "models:\n  a: &a {method: recal, epochs: 2}\n  b: {<<: *a, seed: 3}\nsegment: {refine: none}\n"
    files = [path.read_bytes() for path in sorted(pipelines.glob("*.yaml"))]
    return [*files, sweep.encode(), legend.encode(), alias.encode()]


def _real_models() -> list[bytes]:
    specs = [
        SPEC,
        PatchNetworkSpec(features="mean", head="entropy"),
        PatchNetworkSpec(features="pixels", head="centres", front="sobel"),
        PatchNetworkSpec(features="lenet", head="linear"),
        VoteSpec(members=2, of=PatchNetworkSpec(features="mean", head="linear")),
        DenseNetworkSpec(trunk="net10a", width=4, heads=2),
        DenseNetworkSpec(trunk="kanezaki", width=4),
        DenseNetworkSpec(trunk="neighbourhood", width=4),
    ]
    return list(_saved(specs))


def _saved(specs: Sequence[Any]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for number, spec in enumerate(specs):
            path = Path(folder) / f"{number}.safetensors"
            small_model(spec).save(path)
            yield path.read_bytes()


REAL: dict[str, Callable[[], list[bytes]]] = {
    "metadata": _real_metadata,
    "configuration": _real_configurations,
    "model": _real_models,
}
