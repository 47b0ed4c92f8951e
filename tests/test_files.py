import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg.errors import UsageError
from rsseg.files import (
    check_output,
    check_outputs,
    digest,
    file_word,
    replacing,
    replacing_folder,
    scratch_folder,
    sweep,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with replacing(target) as part:
        part.write_text("half")
        assert not target.exists()
        assert part.suffix == ".txt" and part.parent.parent == target.parent
        part.write_text("whole")
    assert target.read_text() == "whole" and names(target.parent) == ["a.txt"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_overwriting_keeps_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replacing(target, overwrite=True) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), replacing(target, overwrite=True) as part:
        part.write_text("newer")
        raise KeyboardInterrupt
    assert target.read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


def test_files_are_as_readable_as_others(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("x")
        part.chmod(0o600)
    (tmp_path / "plain").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "plain")]
    assert modes[0] == modes[1]


def test_existing_outputs_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UsageError, match="--overwrite"):
        write_text(tmp_path / "a.txt", "new")
    check_output(tmp_path / "a.txt", overwrite=True)
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file where a folder should be"):
        check_output(tmp_path / "file" / "deep" / "a.txt", overwrite)
    with (
        pytest.raises(UsageError, match="is a file where a folder should be"),
        replacing_folder(tmp_path / "file", overwrite),
    ):
        pass


def test_a_folder_where_a_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is a folder where a file should be"):
        check_output(tmp_path / "folder", overwrite=True)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing_folder(target) as part:
        (part / "a").write_text("1")
        assert not target.exists()
    assert names(target) == ["a"] and names(tmp_path) == ["out"]


def test_an_existing_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with replacing_folder(target) as part:  # an empty one is no obstacle
        (part / "old").write_text("1")
    with pytest.raises(UsageError, match="--overwrite"), replacing_folder(target):
        pass
    with pytest.raises(ZeroDivisionError), replacing_folder(target, overwrite=True) as part:
        (part / "new").write_text("2")
        raise ZeroDivisionError
    assert names(target) == ["old"]
    with replacing_folder(target, overwrite=True) as part:
        (part / "new").write_text("2")
    assert names(target) == ["new"] and names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(OSError), replacing_folder(target, overwrite=True) as part:
        part.rmdir()  # as if it had vanished
    assert names(target) == ["old"] and names(tmp_path) == ["out"]


def test_scratch_folders_vanish(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "deep").mkdir()
        assert folder.name.startswith(".rsseg-")
    assert names(tmp_path) == []


def test_text_is_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Grün\n")
    assert (tmp_path / "a.txt").read_bytes() == b"Gr\xc3\xbcn\n"


def test_a_digest_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_an_os_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_text(tmp_path / "a", "x")
    finally:
        tmp_path.chmod(0o700)


# inputs and leftovers


def test_an_output_that_is_an_input_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    product, band = tmp_path / "product", tmp_path / "product" / "BAND2.tif"
    product.mkdir()
    band.write_text("numbers")
    for outputs, inputs in (([band], [product]), ([band], [band]), ([tmp_path / "x", tmp_path / "x"], [product])):
        with pytest.raises(UsageError, match="an input too, or is named twice"):
            check_outputs(outputs, inputs, overwrite=True)
    check_outputs([product / "toa.tif", tmp_path / "toa.tif"], [product], overwrite=True)
    assert band.read_text() == "numbers"


def test_leftovers_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    enter = f"kept = scratch_folder(pathlib.Path({str(tmp_path)!r})); kept.__enter__()"
    code = f"import os, pathlib; from rsseg.files import scratch_folder; {enter}; os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    dead = list(tmp_path.iterdir())
    with scratch_folder(tmp_path) as living:
        sweep(tmp_path)
        assert len(dead) == 1 and not dead[0].exists() and living.exists()


@pytest.mark.parametrize("text", ["a scene #1; b/c", "../..", "x" * 300, "\U00020000" * 300, "\udcff\x00", ""])
def test_any_text_is_part_of_a_file_name(tmp_path: Path, text: str) -> None:
    word = file_word(text)
    assert len(word.encode()) <= 80 and "/" not in word
    (tmp_path / f"{word}_{word}.txt").write_text("")


def test_a_plain_word_stays() -> None:
    assert file_word("liss4_2019-01.v2") == "liss4_2019-01.v2" and file_word("a scene") == "a-scene"
