"""One scene at a time on a GPU."""

import threading
from pathlib import Path

from rsseg.batch.gpus import own_gpu


def test_scenes_get_gpus_of_their_own_and_wait_for_one(tmp_path: Path) -> None:
    with own_gpu("auto", ["a", "b"], tmp_path) as first, own_gpu("cuda", ["a", "b"], tmp_path) as second:
        assert {first, second} == {"cuda:0", "cuda:1"}
        got: list[str] = []

        def third() -> None:
            with own_gpu("auto", ["a", "b"], tmp_path) as device:
                got.append(device)

        thread = threading.Thread(target=third)
        thread.start()
        thread.join(0.5)
        assert got == []
    thread.join(5)
    assert got in (["cuda:0"], ["cuda:1"])


def test_what_is_no_choice_of_a_gpu_stays_as_it_is(tmp_path: Path) -> None:
    for device, names in (("cpu", ["a"]), ("cuda:1", ["a", "b"]), ("auto", [])):
        with own_gpu(device, names, tmp_path) as found:
            assert found == device
    assert not list(tmp_path.iterdir())
