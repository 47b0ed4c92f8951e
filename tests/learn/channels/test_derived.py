"""A scene of channels is one scene, whatever window of it is read."""

import numpy as np
import pytest
from channelled import SIMPLE, fitted, gappy_scene, whole
from pydantic import ValidationError
from tiny import BANDS, scene_of

from rsseg.errors import TrainingError
from rsseg.learn.channels import derived as module
from rsseg.learn.channels.base import cells
from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.channels.stack import Channels
from rsseg.scene.grid import Window


@pytest.mark.parametrize("denoise", [False, True])
def test_a_pixels_channels_do_not_depend_on_the_window(denoise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = gappy_scene(150, 61)
    seen = derived(scene, fitted(scene, *SIMPLE, denoise=denoise))
    values, valid = seen.source.read(Window(0, 0, 150, 61))
    assert values.shape == seen.source.shape == (3 + 3 + 2 + 1 + 1 + 3, 150, 61)
    assert values.dtype == seen.source.dtype == np.float32
    assert np.array_equal(valid, whole(scene)[1])
    assert np.isfinite(values).all() and not values[:, ~valid].any()
    monkeypatch.setattr(module, "BLOCK", 61 * 64)  # and not on the blocks that it is computed by
    assert np.array_equal(seen.source.read(Window(0, 0, 150, 61))[0], values)
    rng = np.random.default_rng(0)
    for _ in range(40):
        row, col = int(rng.integers(150)), int(rng.integers(61))
        window = Window(row, col, int(rng.integers(1, 151 - row)), int(rng.integers(1, 62 - col)))
        found, known = seen.source.read(window)
        assert np.array_equal(found, values[:, *window.slices])
        assert np.array_equal(known, valid[window.slices])


def test_plain_bands_are_the_scene_itself() -> None:
    scene = gappy_scene()
    assert fit_channels(ChannelSettings(), [scene], BANDS) is None
    assert derived(scene, None) is scene


def test_channels_are_fitted_on_all_scenes_of_a_training() -> None:
    scenes = [scene_of(np.full((1, 20, 20), value), name="ab"[value]) for value in (0, 1)]
    channels = fit_channels(ChannelSettings(channels=("components",)), scenes, ("x",))
    assert channels is not None and channels.parts[0].mean == (0.5,)  # type: ignore[union-attr]


def test_scenes_without_a_valid_pixel_are_refused() -> None:
    scene = scene_of(np.zeros((3, 20, 20)), np.zeros((20, 20), bool))
    with pytest.raises(TrainingError, match="no pixel in a sample of scene is valid"):
        fitted(scene, "texture")


def test_a_sample_is_spread_over_the_scene() -> None:
    found = cells((1000, 900), 64, 256, 1 << 18)
    assert 12 <= len(found) <= 16 and len(set(found)) == len(found)
    assert all(w.end[0] <= 1000 and w.end[1] <= 900 and w.height > 0 and w.width > 0 for w in found)
    assert {w.col for w in found} == {0, 256, 512, 768} and found[0].row == 0 and found[-1].row == 960
    small = cells((70, 300), 64, 256, 1 << 18)
    assert sum(w.height * w.width for w in small) == 70 * 300


def test_channels_come_back_from_json() -> None:
    channels = fitted(gappy_scene(), *SIMPLE, denoise=True)
    again = Channels.model_validate_json(channels.model_dump_json())
    assert again == channels and again.words == SIMPLE
    assert again.rebuild({}) == channels and channels.tensors() == {}


def test_words_are_checked() -> None:
    assert ChannelSettings(channels="bands, texture").channels == ("bands", "texture")  # type: ignore[arg-type]
    for words, reason in [(("band",), "choose of bands"), (("bands", "bands"), "twice"), (("bands:2",), "choose of")]:
        with pytest.raises(ValidationError, match=reason):
            ChannelSettings(channels=words)
    with pytest.raises(ValidationError):
        ChannelSettings(channels=())


def test_settings_that_have_their_defaults_are_not_recorded() -> None:
    """Else every model, checkpoint and cached stage of before would count as another."""
    assert ChannelSettings().model_dump() == {}
    assert ChannelSettings(denoise=True, channels=("bands", "texture")).model_dump(mode="json") == {
        "channels": ["bands", "texture"],
        "denoise": True,
    }
