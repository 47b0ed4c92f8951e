"""Model files, checkpoints and weights that somebody made to do harm: one sentence, and nothing is run or filled."""

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hostile import raw, rewrite, small_model, watched
from rasterio.transform import from_origin
from safetensors.torch import save_file

from rsseg.errors import InputError, ModelError
from rsseg.learn.checkpoint import Checkpoint, Progress, restore_optimiser
from rsseg.learn.model import load_model
from rsseg.learn.networks.dense import TRUNKS, DenseNetworkSpec
from rsseg.learn.networks.patch import FEATURES, HEADS, PatchNetworkSpec
from rsseg.learn.networks.vote import VoteSpec
from rsseg.learn.networks.weights import read_weights
from rsseg.learn.tensors import save_tensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    small_model().save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def refused(path: Path, match: str) -> None:
    with watched(), pytest.raises(ModelError, match=match) as problem:
        load_model(path)
    message = str(problem.value)
    assert str(path) in message and "\n" not in message and len(message) < len(str(path)) + 300


class Program:
    """Pickled, it is a command that the reader's machine runs."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.trace}'",)


def bombs(folder: Path) -> list[bytes]:
    """Pickles that leave a trace: raw ones, in PyTorch's archive, and in its older form."""
    program, made = (
        {"a": Program(folder / "trace")},
        [pickle.dumps({"a": Program(folder / "trace")}, n) for n in range(6)],
    )
    for zipped in (True, False):
        torch.save(program, folder / "p", _use_new_zipfile_serialization=zipped)
        made.append((folder / "p").read_bytes())
    return made


# pickles


def test_the_pickles_of_these_tests_would_run(tmp_path: Path) -> None:
    pickle.loads(bombs(tmp_path)[2])
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("number", range(8))
def test_no_pickle_is_run_as_a_model(tmp_path: Path, number: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(bombs(tmp_path)[number])
    refused(path, "is not a model of rsseg" if number < 2 else r"of PyTorch's own kind \(pickle\), which can hold prog")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("number", range(8))
def test_no_pickle_is_run_as_weights(tmp_path: Path, number: int) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(bombs(tmp_path)[number])
        with watched(), pytest.raises(InputError, match="cannot be read as weights"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_weights_that_could_be_a_program_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(bombs(tmp_path)[6])
    with pytest.raises(InputError, match="holds more than tensors, which could be a program and is never run"):
        read_weights(tmp_path / "w.pth")


# files that are cut, or whose sizes lie


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    content = path.read_bytes()
    with watched(seconds=60):
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(ModelError, match="is not a model of rsseg, or it is damaged"):
                load_model(path)


def test_a_byte_changed_anywhere_is_refused_or_changes_nothing_that_counts(path: Path) -> None:
    content, identity = path.read_bytes(), load_model(path).identity
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x11]) + content[place + 1 :])
        try:
            assert load_model(path).identity == identity
        except ModelError as problem:
            assert str(path) in str(problem)


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (32 << 20) + 1, 1 << 31, 1 << 63, (1 << 64) - 1])
def test_a_header_of_another_length_is_refused(path: Path, length: int) -> None:
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    refused(path, "is not a model of rsseg, or it is damaged")


def test_a_sparse_file_with_a_giant_header_is_refused(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", 90 << 20) + b"{")
        stream.truncate(100 << 20)
    refused(path, r"it is damaged \(cut short, or no safetensors\)")


def of(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


NOTES = json.dumps({"inference": {}, "channels_last": []})
META = {"__metadata__": {"rsseg": NOTES}}


@pytest.mark.parametrize(
    "content",
    [
        raw("{"),
        raw(""),
        raw("[]"),
        raw("null"),
        raw('{"a": 1}'),
        raw('{"__metadata__": {"rsseg": 5}}'),
        raw('{"__metadata__": {"rsseg": "{}", "rsseg": "[]"}}'),
        raw("[" * 100_000),
        raw({**META, "a": of("F32", [2], 0, 8)}, bytes(4)),
        raw({**META, "a": of("F32", [1 << 40], 0, 8)}, bytes(8)),
        raw({**META, "a": of("F32", [1 << 62, 1 << 62], 0, 8)}, bytes(8)),
        raw({**META, "a": of("F32", [-2], 0, 8)}, bytes(8)),
        raw({**META, "a": of("F32", [2], 8, 0)}, bytes(8)),
        raw({**META, "a": of("F32", [2], 1 << 62, (1 << 62) + 8)}, bytes(8)),
        raw({**META, "a": of("F32", [2], 0, 8), "b": of("F32", [2], 4, 12)}, bytes(12)),
        raw({**META, "a": of("F32", [2], 0, 8), "b": of("F32", [2], 0, 8)}, bytes(8)),
        raw({**META, "a": of("X99", [2], 0, 8)}, bytes(8)),
        raw({**META, "a": of("F32", [2], 0, 8)}, bytes(80)),
    ],
    ids=lambda content: repr(content[8:60]),
)
def test_headers_that_lie_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path, "is not a model of rsseg")


@pytest.mark.parametrize(
    "notes",
    [
        "[" * 100_000,
        '{"inference":' * 5000,
        '{"channels_last": [], "inference": {}, "inference": {}}',
        '{"channels_last": ["gone"], "inference": {}}',
        '{"channels_last": [[]], "inference": {}}',
        '{"channels_last": 5, "inference": {}}',
        '{"channels_last": {"a": 1}}',
        '{"channels_last": ["a"]}',
        f'{{"channels_last": [], "inference": {"9" * 5000}}}',
        "\ud800",
    ],
    ids=lambda notes: repr(notes[:40]),
)
def test_notes_that_lie_are_refused(path: Path, notes: str) -> None:
    path.write_bytes(raw({"__metadata__": {"rsseg": notes}, "a": of("F32", [2], 0, 8)}, bytes(8)))
    refused(path, "is not a model of rsseg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    refused(tmp_path / "m.safetensors", "is not a model of rsseg: it is no file")
    with pytest.raises(InputError, match="cannot be read as weights: it is no file"):
        read_weights(tmp_path / "m.safetensors")


# descriptions that lie


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"patch": 10**9}, "holds a number of more than 65536"),
        ({"patch": 5000}, "its patch of 5000 pixels is larger than 4096"),
        ({"stride": 10**30}, "holds a number of more than 65536"),
        ({"classes": 255}, "holds other tensors than its description says"),
        ({"classes": 256}, r"cannot be used by this version of rsseg \(classes\)"),
        ({"bands": ["b"] * 3}, "cannot be used by this version"),
        ({"bands": []}, "cannot be used by this version"),
        ({"network": {"features": "mean", "head": "sub-heads", "heads": 60000}}, "holds other tensors"),
        ({"network": {"features": "mean", "head": "sub-heads", "heads": 10**9}}, "a number of more than 65536"),
        ({"network": {"features": "clusternet", "head": "linear", "width": 65000}}, "holds other tensors"),
        ({"network": {"features": "clusternet", "head": "linear", "width": 10**12}}, "a number of more than 65536"),
        ({"network": {"features": "mean", "head": "imsat", "heads": 2, "units": 65536}}, "holds other tensors"),
        ({"network": {"features": "vgg16-bn", "head": "entropy"}, "patch": 1}, "its description is of no network"),
        ({"network": {"trunk": "net10a", "heads": 8}, "patch": 4096}, "holds other tensors"),
        ({"network": {"trunk": "net10a"}, "patch": 1}, "its tile of 1 pixels is smaller than 2"),
        ({"network": {"trunk": "net10a", "width": 65536}}, "holds other tensors"),
        ({"network": {"members": 60000, "of": {"trunk": "seek", "heads": 60000}}}, "holds other tensors"),
        ({"network": {"members": 2, "of": {"features": "mean", "head": "linear"}}}, "holds other tensors"),
        ({"network": {"features": "os.system", "head": "linear"}}, "cannot be used by this version"),
        ({"network": {"x" * 5000: 1}}, "cannot be used by this version"),
        (
            {"normalisation": {"kind": "range", "centre": [0, 0], "spread": [1, 0], "mean": [0, 0]}},
            "divides by a number",
        ),
        (
            {"normalisation": {"kind": "range", "centre": [float("nan"), 0], "spread": [1, 1], "mean": [0, 0]}},
            "number nan",
        ),
        (
            {"normalisation": {"kind": "range", "centre": [0, 0], "spread": [1, 1], "mean": [0, float("inf")]}},
            "number inf",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_descriptions_that_lie_are_refused(path: Path, change: dict[str, Any], match: str) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(change))
    refused(path, match)


@pytest.mark.parametrize("width", [1, 65536])
@pytest.mark.parametrize(
    "network",
    [
        *({"features": name, "head": "linear"} for name in FEATURES),
        *({"features": "mean", "head": name, "heads": 6} for name in HEADS),
        *({"trunk": name, "front": "sobel"} for name in TRUNKS),
        *({"members": 3, "of": {"trunk": name}} for name in TRUNKS),
    ],
    ids=str,
)
def test_no_network_is_built_before_it_is_compared(path: Path, network: dict[str, Any], width: int) -> None:
    inner = network.get("of", network)
    wide = {**inner, "width": width} | ({"units": 65536} if inner.get("head") == "imsat" else {})
    changed = {**network, "of": wide} if "of" in network else wide
    rewrite(path, lambda notes, tensors: notes["inference"].update(network=changed, patch=1024, classes=255))
    refused(path, "holds other tensors")


@pytest.mark.parametrize(
    "spec",
    [
        *(PatchNetworkSpec(features=name, head="linear", width=16) for name in FEATURES),
        *(PatchNetworkSpec(features="mean", head=name) for name in HEADS),
        *(DenseNetworkSpec(trunk=name, width=8, heads=2) for name in TRUNKS),
        VoteSpec(members=2, of=PatchNetworkSpec(features="pixels", head="entropy", front="sobel")),
        VoteSpec(members=2, of=DenseNetworkSpec(trunk="dic")),
    ],
    ids=str,
)
def test_honest_models_of_every_network_are_read(tmp_path: Path, spec: Any) -> None:
    made = small_model(spec)
    made.save(tmp_path / "m.safetensors")
    state = torch.get_rng_state()
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.identity == made.identity
    assert all(tensor.device.type == "cpu" for tensor in (*loaded.network.parameters(), *loaded.network.buffers()))
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ({"parts": [{"kind": "bands", "bands": ["a", "b", "c"]}]}, "cannot be used|not of 2 bands"),
        (
            {"parts": [{"kind": "indices", "pairs": [["NDVI", 0, 9], ["NDWI", -1, 0]]}]},
            "its channels are not of 2 bands",
        ),
        ({"parts": [{"kind": "components", "mean": [0, 0], "matrix": [[1]]}]}, "its channels are not of 2 bands"),
        ({"parts": [{"kind": "texture", "floor": float("nan")}, {"kind": "brightness"}]}, "the number nan"),
        (
            {
                "parts": [{"kind": "bands", "bands": ["a", "b"]}],
                "smoothing": {"mean": [0, 0], "sigma": [1, 1], "radius": 60000, "passes": 60000},
            },
            "its smoothing reaches 3600000000 pixels",
        ),
        (
            {
                "parts": [
                    {
                        "kind": "backbone",
                        "asked": "vit",
                        "network": "vit",
                        "layer": "",
                        "zoom": 1,
                        "inputs": [0, 1],
                        "low": [0, 0],
                        "high": [1, 1],
                        "fill": [0, 0],
                        "count": 10**12,
                    }
                ]
            },
            "holds a number of more than 65536",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_channels_that_lie_are_refused(path: Path, channels: dict[str, Any], match: str) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(channels=channels))
    refused(path, match)


# tensors that lie


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(path: Path, value: float) -> None:
    rewrite(path, lambda notes, tensors: tensors["head.linears.0.weight"].view(-1)[:1].fill_(value))
    refused(path, r"its weights 'head\.linears\.0\.weight' are not finite numbers")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32, torch.bool, torch.float8_e4m3fn])
def test_tensors_of_another_type_are_refused(path: Path, dtype: torch.dtype) -> None:
    def change(notes: object, tensors: dict[str, torch.Tensor]) -> None:
        tensors["head.linears.0.weight"] = torch.ones(tensors["head.linears.0.weight"].shape).to(dtype)

    rewrite(path, change)
    refused(path, "holds other tensors than its description says")


@pytest.mark.parametrize("place", [-1, 2, 1 << 40])
def test_a_head_that_is_not_there_is_refused(path: Path, place: int) -> None:
    rewrite(path, lambda notes, tensors: tensors["head.chosen"].fill_(place))
    refused(path, "it chooses one of 2 with a number beyond them")


def test_a_partner_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    small_model(VoteSpec(members=2, of=PatchNetworkSpec(features="mean", head="linear"))).save(path)
    rewrite(path, lambda notes, tensors: tensors["partner"].fill_(3))
    refused(path, "it chooses one of 3")


def test_a_negative_variance_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    small_model(PatchNetworkSpec(features="mean", head="entropy")).save(path)
    rewrite(path, lambda notes, tensors: tensors["head.norm.running_var"].fill_(-1))
    refused(path, "it holds a negative variance")


def test_surplus_and_empty_tensors_are_refused(path: Path) -> None:
    rewrite(path, lambda notes, tensors: tensors.update(more=torch.zeros(0, 1 << 40)))
    refused(path, "holds other tensors")


# what lies beside


@pytest.mark.parametrize("provenance", [[], "text", None, {"software": 5}, {"shares": []}, {"classes": "abc"}], ids=str)
def test_a_provenance_of_another_kind_is_refused(path: Path, provenance: object) -> None:
    rewrite(path, lambda notes, tensors: notes.update(provenance=provenance))
    refused(path, "its provenance is not as rsseg writes it")


def test_a_legend_that_multiplies_is_refused(path: Path) -> None:
    from rsseg.pipeline.class_names import naming_of

    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    rewrite(path, lambda notes, tensors: notes.update(legend="\n".join(lines)))
    model = load_model(path)
    with watched(), pytest.raises(InputError, match=r"the legend in .*, line 5: it holds more than 20000 values"):
        naming_of(model, path)


def test_bands_of_control_characters_are_shown_escaped(path: Path, tmp_path: Path, rsseg: Any) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(bands=["\x1b]0;owned\x07", "\u202eevil\r\b"]))
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 2, "dtype": "float32"}
    with rasterio.open(tmp_path / "s.tif", "w", transform=from_origin(0, 8, 1, 1), **profile) as out:
        out.write(np.ones((2, 8, 8), np.float32))
    code, text, err = rsseg("segment", tmp_path / "s.tif", "--model", path, "-o", tmp_path / "l.tif")
    assert code == 1 and text == ""
    assert r"the bands \x1b]0;owned\x07, \u202eevil\x0d\x08, but" in err and err.rstrip("\n").isprintable()


# checkpoints


def checkpoint(folder: Path, **changes: Any) -> Checkpoint:
    notes = {"progress": vars(Progress()), "optimiser": {"groups": [], "numbers": {}}, "settings": {}, **changes}
    save_tensors(folder / "c.safetensors", {"network/a": torch.zeros(2)}, notes)
    return Checkpoint(folder / "c.safetensors", {})


def test_an_honest_checkpoint_is_read(tmp_path: Path) -> None:
    progress, tensors, numbers = checkpoint(tmp_path).load()
    assert progress == Progress() and list(tensors) == ["network/a"] and numbers == {"groups": [], "numbers": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"progress": None},
        {"progress": {"run": "x"}},
        {"progress": {"top": [[1]]}},
        {"progress": {"history": 5}},
        {"progress": {"shell": "rm"}},
        {"optimiser": []},
        {"optimiser": {"groups": {}, "numbers": {}}},
        {"optimiser": {"numbers": {}}},
    ],
    ids=str,
)
def test_a_checkpoint_of_other_contents_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"c\.safetensors is not a checkpoint of rsseg, or it is damaged"):
        checkpoint(tmp_path, **change).load()


@pytest.mark.parametrize(
    "numbers",
    [
        {"groups": [], "numbers": {"0": 1}},
        {"groups": [{}, {}], "numbers": {}},
        {"groups": [{"params": [0]}], "numbers": {"x/step": 1}},
        {"groups": [{"params": "abc"}], "numbers": {}},
        {"groups": [{"params": [0, 1]}], "numbers": {}},
    ],
    ids=str,
)
def test_an_optimiser_of_other_contents_is_refused(numbers: dict[str, Any]) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1)
    with pytest.raises(ModelError, match="it is of another optimiser; train without --resume"):
        restore_optimiser(optimiser, {}, numbers)


# weights


def test_an_archive_that_unfolds_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1 << 18)}, tmp_path / "plain.pth")
    assert read_weights(tmp_path / "plain.pth")["a"].shape == (1 << 18,)
    with zipfile.ZipFile(tmp_path / "plain.pth") as source, zipfile.ZipFile(tmp_path / "w.pth", "w", 8) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(InputError, match="packed to unfold into more than its own size"):
        read_weights(tmp_path / "w.pth")


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, tmp_path / "w.pth")
    with watched(), pytest.raises(InputError, match="'a' is no tensor whose values are all in the file"):
        read_weights(tmp_path / "w.pth")


def test_a_storage_that_claims_more_than_the_file_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(123_456)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pth").read_bytes()
    assert struct.pack("<i", 123_456) in content
    (tmp_path / "w.pth").write_bytes(content.replace(struct.pack("<i", 123_456), struct.pack("<i", 2_000_000_000)))
    with watched(), pytest.raises(InputError, match="cannot be read as weights"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {1: 2}, {"state": {"a": 1}}], ids=str)
def test_weights_that_are_no_state_are_refused_or_empty(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    try:
        assert read_weights(tmp_path / "w.pth") == {}
    except InputError as problem:
        assert "holds no state dictionary of tensors" in str(problem)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_weights_cut_anywhere_are_refused(tmp_path: Path, name: str) -> None:
    path, tensors = tmp_path / name, {"a": torch.arange(4.0)}
    save_file(tensors, path) if name.endswith("s") else torch.save(tensors, path)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="cannot be read as weights"):
            read_weights(path)
