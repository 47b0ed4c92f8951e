"""Context: its start, that it finds fields whose pixels are mixed, its crops, its schedule and its score."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, blocks_scene, scene_of

from rsseg.errors import TrainingError, UsageError
from rsseg.learn.inputs import TILE_VALID_SHARE
from rsseg.learn.methods.context import Context, ContextPhase, ContextSettings, crops, quality
from rsseg.learn.methods.context_start import Starter, best_fine, fit_fine, put
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trainer, TrainingSettings


def tiles(values: NDArray, valid: NDArray[np.bool_] | None = None, patch: int = 32) -> SceneSamples:
    patches, moments = find_patches([scene_of(values, valid)], patch, patch // 2, valid_share=TILE_VALID_SHARE)
    return SceneSamples(patches, moments, device=CPU, memory=1 << 24, masks=True)


def mixed_scene(size: int = 64) -> tuple[NDArray, NDArray[np.int64]]:
    """Left, bright and dark pixels mixed at random (a town); right, one smooth grey with a darker field in it."""
    rng = np.random.default_rng(0)
    values = np.full((2, size, size), 100.0)
    half = size // 2
    values[:, :, :half] = np.where(rng.random((size, half)) < 0.5, 40.0, 160.0)
    values[:, half // 2 : half, half + 4 : -4] = 130.0
    kinds = np.zeros((size, size), np.int64)
    kinds[:, half:] = 1
    kinds[half // 2 : half, half + 4 : -4] = 2
    return (values + rng.normal(0, 3, values.shape)).astype(np.float32), kinds


def tiny_settings(**options: object) -> ContextSettings:
    given = {"classes": 3, "patch": 32, "stride": 16, "crop": 16, "batch": 4, "width": 8, "fine": 8, "epochs": 1}
    return ContextSettings.model_validate({**given, "warm_epochs": 1, "channels": "bands", "denoise": False, **options})


def trained(samples: SceneSamples, seed: int = 0, **options: object) -> Context:
    def make() -> Context:
        return Context(tiny_settings(**options), len(samples.normalisation.mean), samples.patch)

    method = Trainer(make, samples, TrainingSettings(seed=seed), CPU).train().method
    assert isinstance(method, Context)
    return method


def labels_of_scene(method: Context, samples: SceneSamples, values: NDArray) -> NDArray[np.int64]:
    """The whole scene as one tile."""
    numbers = samples.normalisation
    x = (values - np.array(numbers.centre)[:, None, None]) / np.array(numbers.spread)[:, None, None]
    with torch.no_grad():
        found: NDArray[np.int64] = method.network.eval()(torch.from_numpy(x[None]).float()).argmax(dim=1)[0].numpy()
    return found


def purity(labels: NDArray, truth: NDArray) -> float:
    """Many-to-one accuracy, by a loop over clusters."""
    right = sum(int(np.bincount(truth[labels == k]).max()) for k in np.unique(labels))
    return right / truth.size


def test_pixels_that_lie_mixed_become_one_class() -> None:
    values, kinds = mixed_scene()
    samples = tiles(values)
    method = trained(samples, spectral_weight=0.1)
    labels = labels_of_scene(method, samples, values)
    inside = np.ones_like(kinds, bool)
    inside[:, 28:36] = False  # the network sees 7 x 7
    assert purity(labels[inside], kinds[inside]) > 0.9
    assert len(np.unique(labels[inside])) == 3
    town = np.bincount(labels[:, :28].ravel(), minlength=3)
    assert town.max() / town.sum() > 0.95


def test_the_network_beats_the_start_it_learned_from_on_noisy_fields() -> None:
    values, kinds = blocks_scene(96, 96, block=16, dtype="float32", noise=45.0)
    samples = tiles(values)
    method = trained(samples, classes=4)
    x = (values - np.array(samples.normalisation.centre)[:, None, None]) / np.array(samples.normalisation.spread)[
        :, None, None
    ]
    start = method.starter(torch.from_numpy(x[None]).float())[0].numpy()
    assert purity(labels_of_scene(method, samples, values), kinds) > purity(start, kinds) + 0.02


def test_fine_clusters_lie_at_the_nearest_centre() -> None:
    torch.manual_seed(0)
    starter = Starter(5, 3)
    starter.centres.copy_(torch.randn(5, 3))
    x = torch.randn(2, 3, 6, 7)
    found = starter.fine(x)
    for n, row, col in np.ndindex(2, 6, 7):
        away = ((starter.centres - x[n, :, row, col]) ** 2).sum(dim=1)
        assert int(found[n, row, col]) == int(away.argmin())


def test_the_start_merges_to_the_classes_and_labels_every_pixel() -> None:
    samples = tiles(mixed_scene()[0])
    fine = fit_fine(samples, 8, 3.0, seed=1)
    starter = Starter(12, 2)  # of more clusters than were found
    assert not starter.fitted
    put(starter, fine, 3)
    assert starter.fitted
    labels = starter(samples.gather(torch.arange(len(samples))))
    assert sorted(labels.unique().tolist()) == [0, 1, 2]


def test_invalid_pixels_do_not_make_clusters() -> None:
    values, _ = mixed_scene()
    valid = np.ones(values.shape[1:], bool)
    valid[:, 40:] = False
    changed = values.copy()
    changed[:, ~valid] = 1e4
    one, other = (fit_fine(tiles(v, valid), 6, 3.0, seed=0) for v in (values, changed))
    assert torch.equal(one.centres, other.centres)
    assert [list(level.groups) for level in one.levels] == [list(level.groups) for level in other.levels]


def test_too_few_pixels_are_named() -> None:
    with pytest.raises(TrainingError, match="256 valid pixels cannot make 300 fine clusters"):
        fit_fine(tiles(mixed_scene(16)[0], patch=16), 300, 3.0, seed=0)


def test_crops_lie_inside_their_tile_and_bring_their_own_mask() -> None:
    rows, cols = np.mgrid[:64, :64]
    values = np.stack([rows, cols]).astype(np.float32)
    valid = (rows + cols) % 7 > 0
    samples = tiles(values, valid)
    torch.manual_seed(0)
    x, mask = crops(samples, torch.arange(len(samples)), 16)
    numbers = samples.normalisation
    place = x * torch.tensor(numbers.spread)[:, None, None] + torch.tensor(numbers.centre)[:, None, None]
    for n in range(len(samples)):
        top, left = samples.numbers[n] // 3 * 16, samples.numbers[n] % 3 * 16
        down, right = place[n].round()[:, mask[n]].unbind()
        assert mask[n].any() and top <= down.min() and down.max() < top + 32
        assert left <= right.min() and right.max() < left + 32
        assert ((down + right) % 7 > 0).all()
    assert not torch.equal(mask[0], mask[1])


def phase_of(method: Context, name: str) -> ContextPhase:
    return next(phase for phase in method.phases if phase.name == name)  # type: ignore[return-value]


def test_the_rate_falls_to_its_end_and_follows_from_the_epoch() -> None:
    samples = tiles(mixed_scene()[0])
    torch.manual_seed(0)
    method = Context(tiny_settings(epochs=2), 2, 32)
    method.begin(samples, 0)
    phase = phase_of(method, "information")
    rates = []
    for epoch in range(2):
        phase.start_of_epoch(samples, epoch)
        for indices in phase.batches(len(samples), torch.Generator().manual_seed(epoch)):
            phase.step(samples, indices)
            rates.append(phase.optimiser.param_groups[0]["lr"])
    assert len(rates) == 100 and rates[0] == pytest.approx(3e-3)
    assert all(late < early for early, late in pairwise(rates))
    assert 0 < rates[-1] < 0.05 * rates[0] and rates[50] == pytest.approx((1 + 0.02) / 2 * 3e-3)


def test_an_epoch_visits_every_tile_once_or_draws_from_very_many() -> None:
    method = Context(tiny_settings(), 2, 32)
    phase = phase_of(method, "information")
    for count in (1, 9, 203, 1000):
        drawn = torch.cat(list(phase.batches(count, torch.Generator().manual_seed(0))))
        assert len(drawn) == max(50, count // 4) * 4 and len(drawn.unique()) >= count - 3
    many = torch.cat(list(phase.batches(5000, torch.Generator().manual_seed(0))))
    assert len(many) == len(many.unique()) == 1000 and int(many.max()) > 4500


def test_quality_rises_with_the_right_map() -> None:
    values, kinds = blocks_scene(48, 48, block=12, dtype="float32")
    x, truth = torch.from_numpy(values)[None], torch.from_numpy(kinds)[None]
    noise = torch.randint(0, 4, truth.shape, generator=torch.Generator().manual_seed(0))
    wrong = torch.where(torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.3, noise, truth)
    assert quality(x, truth, 4) > quality(x, wrong, 4) > quality(x, noise, 4)
    assert quality(x, torch.zeros_like(truth), 4) == pytest.approx(0)
    masked = truth.clone()
    masked[:, :, 20:30] = -1
    shifted = torch.where(masked[:, None] < 0, 1e6, x)
    assert quality(shifted, masked, 4) == pytest.approx(quality(x, masked, 4))


def test_a_displacement_beyond_the_crop_is_refused() -> None:
    with pytest.raises(UsageError, match="--displacement 16"):
        tiny_settings(displacement=16).check()


def test_the_best_start_is_the_one_that_tells_most() -> None:
    samples = tiles(mixed_scene()[0])
    every = [fit_fine(samples, 6, 3.0, seed) for seed in range(5, 9)]
    worth = [fine.at(3).nats + fine.at(3).variance for fine in every]
    assert len(set(worth)) > 1
    chosen = best_fine(samples, 6, 3.0, classes=3, seed=5, starts=4)
    assert torch.equal(chosen.centres, every[int(np.argmax(worth))].centres)
