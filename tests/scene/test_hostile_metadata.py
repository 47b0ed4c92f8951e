"""Metadata files that contradict themselves, are no text, or hold numbers that only Python would read."""

import json
from pathlib import Path

import pytest
from products import LISS4_META_PLAIN, landsat_mtl, make_landsat, make_liss4, with_keys

from rsseg.errors import InputError
from rsseg.scene.sensors import open_scene
from rsseg.scene.sensors.mtl import Mtl


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_liss4(tmp_path_factory.mktemp("products") / "p", shape=(6, 7))


def scales(product: Path, meta: bytes | str) -> list[float]:
    (product / "BAND_META.txt").write_bytes(meta if isinstance(meta, bytes) else meta.encode())
    return [band.scale for band in open_scene(product).bands]


def refusal(product: Path, meta: bytes | str) -> str:
    with pytest.raises(InputError) as caught:
        scales(product, meta)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500
    assert "BAND_META.txt" in message
    return message


@pytest.mark.parametrize(
    "raw",
    [
        LISS4_META_PLAIN.encode("utf-16"),
        LISS4_META_PLAIN.encode("utf-8-sig"),
        LISS4_META_PLAIN.replace("NRSC", "NRSÇ").encode("latin-1"),
        LISS4_META_PLAIN.replace("\n", "\r\n").encode(),
        LISS4_META_PLAIN.replace("\n", "\r").encode(),
        LISS4_META_PLAIN.replace("\n", "\nno equals sign\n= nothing\n\n").encode(),
        LISS4_META_PLAIN.encode() + b"Remark= " + b"x" * 500_000,
        LISS4_META_PLAIN.encode() + b"B2_Lmax= 52\nB2_Lmax=+5.2e1\nGenAgency= NRSC\n",
        LISS4_META_PLAIN.encode() + b"Remark= one\nRemark= another\n",
    ],
    ids=["utf-16", "bom", "latin-1", "crlf", "cr", "no equals", "giant line", "equal twice", "unused twice"],
)
def test_all_writings_of_one_file_say_the_same(product: Path, raw: bytes) -> None:
    assert scales(product, raw) == scales(product, LISS4_META_PLAIN)


@pytest.mark.parametrize("key", ["B2_Lmax= 47.5614", "b2_LMAX= 1", "SunElevationAtCenter= 12", "Sensor= L3"])
def test_keys_that_contradict_themselves_are_refused(product: Path, key: str) -> None:
    name = key.partition("=")[0]
    assert f"gives {name}".casefold() in refusal(product, f"{LISS4_META_PLAIN}{key}\n").casefold()
    assert "twice, as" in refusal(product, f"{key}\n{LISS4_META_PLAIN}")


def test_the_two_spellings_of_one_key_may_not_differ(product: Path) -> None:
    assert "SunAzimuthAtCenter twice" in refusal(product, f"{LISS4_META_PLAIN}SunAzimuthAtCenter= 12\n")


@pytest.mark.parametrize(
    "number", ["1e999", "nan", "inf", "0x10", "1_000", "٥٢", "5 2", "52,0", "5\x1b[2J", "--5", "1" * 400]
)
@pytest.mark.parametrize("key", ["B2_Lmax", "SunElevationAtCenter", "BitsPerPixel"])
def test_what_is_no_decimal_number_is_refused(product: Path, key: str, number: str) -> None:
    message = refusal(product, with_keys(LISS4_META_PLAIN, **{key: number}))
    assert f"says {key}=" in message and "which is no number" in message


@pytest.mark.parametrize("value", ["0", "-5", "90.01", "180"])
def test_a_sun_that_cannot_be_is_refused(product: Path, value: str) -> None:
    assert "sun above the horizon" in refusal(product, with_keys(LISS4_META_PLAIN, SunElevationAtCenter=value))


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_radiance_range_without_extent_is_refused(product: Path, value: str) -> None:
    assert "not above B3_Lmin" in refusal(product, with_keys(LISS4_META_PLAIN, B3_Lmax=value))


@pytest.mark.parametrize("bits", ["0", "-3", "10.5", "64", "1000000"])
def test_bits_that_cannot_be_are_refused(product: Path, bits: str) -> None:
    assert "BitsPerPixel=" in refusal(product, with_keys(LISS4_META_PLAIN, BitsPerPixel=bits))


@pytest.mark.parametrize(
    "time",
    [
        "02-OCT-0000",
        "02-OCT-0001 00:00:00",
        "31-DEC-9999 23:59:60",
        "31-FEB-2018",
        "02-OCT-2018 25:00:00",
        "02-OCT-2018 02:28:99",
        "02-ÖCT-2018",
        "٠٢-OCT-2018",
        "02-OCT-2018 02:28:28.0; x",
    ],
)
def test_times_that_cannot_be_are_refused(product: Path, time: str) -> None:
    assert "which is no time like" in refusal(product, with_keys(LISS4_META_PLAIN, SceneCenterTime=time))


@pytest.mark.parametrize("numbers", ["", "9", "22", "٢٣", "2345678", "2" * 5000, "\x1b]0;x\x07"])
def test_band_numbers_that_cannot_be_are_refused(product: Path, numbers: str) -> None:
    assert "BandNumbers" in refusal(product, with_keys(LISS4_META_PLAIN, BandNumbers=numbers))


def test_what_is_no_text_is_refused(product: Path) -> None:
    assert "zero bytes" in refusal(product, LISS4_META_PLAIN.replace("NRSC", "NR\0SC"))
    assert "zero bytes" in refusal(product, b"\0" * 1000)
    assert "no value for Sensor" in refusal(product, b"\x89PNG\r\n\x1a\n rubbish")
    assert "more than 1 MiB" in refusal(product, LISS4_META_PLAIN + "x" * (1 << 20))


def test_control_characters_do_not_reach_the_tags(product: Path) -> None:
    scales(product, with_keys(LISS4_META_PLAIN, GenAgency="NR\x1b[2JSC\x07"))
    assert open_scene(product).tags["agency"].isprintable()


# -- Landsat's


def mtl_refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        Mtl.parse(text, "X_MTL.json").number("SUN_ELEVATION")
    assert str(caught.value).isprintable() and str(caught.value).startswith("X_MTL.json")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":' * 100_000, "too deep"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "too deep"),
        ('{"A": {"SUN_ELEVATION": NaN}}', "says SUN_ELEVATION = nan"),
        ('{"A": {"SUN_ELEVATION": 1e999}}', "says SUN_ELEVATION = inf"),
        ('{"A": {"SUN_ELEVATION": "1_0"}}', "1_0, which is no number"),
        ('{"A": {"SUN_ELEVATION": null}}', "no value for SUN_ELEVATION"),
        ('{"A": {"SUN_ELEVATION": [45]}}', "no value for SUN_ELEVATION"),
        ('{"A": {"SUN_ELEVATION": 45, "SUN_ELEVATION": 46}}', "SUN_ELEVATION stands in it twice"),
        ('{"A": {"SUN_ELEVATION": ' + "9" * 5000 + "}}", "broken JSON"),
        ("{}", "holds no metadata"),
        ('[{"A": {"SUN_ELEVATION": 45}}]', "holds no metadata"),
        ('{"A": ', "broken JSON"),
        ("GROUP = A\n SUN_ELEVATION = 45\n SUN_ELEVATION = 46\nEND_GROUP = A", "gives SUN_ELEVATION twice in A"),
        ("GROUP = A\n" * 50_000 + "SUN_ELEVATION = 0x10", "which is no number"),
        ("END_GROUP = A\n" * 100 + "SUN_ELEVATION = 45", "holds no metadata"),
    ],
)
def test_broken_landsat_metadata_is_told(text: str, words: str) -> None:
    assert words in mtl_refusal(text)


def test_json_of_any_depth_that_can_be_parsed_is_read() -> None:
    inner = json.dumps({"SUN_ELEVATION": 45})
    assert Mtl.parse('{"a":' * 200 + inner + "}" * 200, "x").number("SUN_ELEVATION") == 45


@pytest.mark.parametrize("gain", ["0", "-2E-5"])
def test_a_gain_that_cannot_be_is_refused(tmp_path: Path, gain: str) -> None:
    mtl = landsat_mtl(REFLECTANCE_MULT_BAND_4=gain)
    with pytest.raises(InputError, match=r"REFLECTANCE_MULT_BAND_4 = .* above 0"):
        open_scene(make_landsat(tmp_path / "p", mtl=mtl))
