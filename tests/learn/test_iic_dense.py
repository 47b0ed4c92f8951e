"""IIC for segmentation: its pairs of tiles and the way back, its turns of heads, and that it finds fields."""

import numpy as np
import pytest
import torch
from tiny import CPU, blocks_scene, scene_of
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.learn.augment import Geometry
from rsseg.learn.inputs import TILE_VALID_SHARE
from rsseg.learn.methods.iic_dense import IicDense, IicDensePhase, IicDenseSettings, losses
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.tile_pairs import Mirror, TilePairs, covered
from rsseg.learn.training import Trainer, TrainingSettings


def tiles(patch: int = 32, stride: int = 32, size: int = 96, valid: np.ndarray | None = None) -> SceneSamples:
    scene = scene_of(blocks_scene(size, size, block=16)[0], valid)
    patches, moments = find_patches([scene], patch, stride, valid_share=TILE_VALID_SHARE)
    return SceneSamples(patches, moments, device=CPU, memory=1 << 24, masks=True)


def tiny_settings(**options: object) -> IicDenseSettings:
    given = {"classes": 4, "patch": 32, "stride": 16, "batch": 4, "width": 2, "displacement": 2, "over_classes": 8}
    return IicDenseSettings.model_validate({**given, **options})


def tiny_method(**options: object) -> IicDense:
    torch.manual_seed(0)
    return IicDense(tiny_settings(**options), 3, 32)


# pairs


@pytest.mark.parametrize("flips", ["none", "horizontal", "both"])
def test_the_way_back_undoes_flips_exactly(flips: str) -> None:
    torch.manual_seed(1)
    samples = tiles()
    pair = TilePairs(flips).draw(samples, torch.arange(9).repeat(3))  # type: ignore[arg-type]
    assert torch.equal(pair.back(pair.second), pair.first) and pair.mask.all()
    moved = (pair.second != pair.first).flatten(1).any(dim=1)
    assert moved.any() == (flips != "none") and not moved.all()


def test_horizontal_flips_leave_rows_in_place() -> None:
    torch.manual_seed(0)
    mirror = Mirror.draw("horizontal", 64, CPU)
    assert mirror.across.any() and not mirror.across.all() and not mirror.down.any()
    both = Mirror.draw("both", 64, CPU)
    assert {(bool(a), bool(d)) for a, d in zip(both.across, both.down, strict=True)} == {
        (a, d) for a in (False, True) for d in (False, True)
    }


def smooth_samples(size: int, patch: int) -> SceneSamples:
    """A scene of waves, which resampling changes little."""
    rows, cols = np.mgrid[:size, :size] / size
    waves = [np.sin(7 * rows + 3 * cols), np.cos(5 * cols - rows), np.sin(4 * rows) * np.cos(6 * cols)]
    scene = scene_of(np.stack(waves).astype("float32"))
    patches, moments = find_patches([scene], patch, patch // 2, valid_share=TILE_VALID_SHARE)
    return SceneSamples(patches, moments, device=CPU, memory=1 << 24, masks=True)


def test_the_way_back_undoes_turns_scales_and_shears_where_the_mask_says_so() -> None:
    torch.manual_seed(2)
    samples = smooth_samples(160, 32)
    pairs = TilePairs("both", Geometry(flips=False))
    indices = torch.arange(len(samples))
    pair = pairs.draw(samples, indices)
    returned = pair.back(pair.second)
    mask = pair.mask[:, None].expand_as(returned)
    assert 0.4 < float(pair.mask.float().mean()) < 1
    assert float((returned - pair.first).abs()[mask].max()) < 0.05
    assert float((pair.second - pair.first).abs().mean()) > 0.1  # the copies do differ


def test_copies_are_read_from_the_scene_around_the_tile() -> None:
    """With room around the tile, what the copy shows is the scene, so a copy that is smaller than it masks nothing."""
    samples = smooth_samples(160, 32)
    middle = torch.tensor([len(samples) // 2])
    torch.manual_seed(0)
    pair = TilePairs("none", Geometry(rotation=0, scale=0.2, shear=0, shift=0, flips=False)).draw(samples, middle)
    window = samples.gather(middle, 64)
    lowest, highest = window.amin(dim=(2, 3)), window.amax(dim=(2, 3))
    assert (pair.second.amin(dim=(2, 3)) >= lowest).all() and (pair.second.amax(dim=(2, 3)) <= highest).all()
    whole = smooth_samples(32, 32)
    torch.manual_seed(4)
    alone = TilePairs("none", Geometry(rotation=30, scale=0, shear=0, shift=0, flips=False)).draw(
        whole, torch.zeros(1, dtype=torch.int64)
    )
    assert not alone.mask.all()  # a tile without surroundings has empty corners, which do not count


def test_pixels_of_invalid_counterparts_are_masked() -> None:
    valid = np.ones((96, 96), bool)
    valid[30:50, 40:60] = False
    samples = tiles(patch=48, stride=24, valid=valid)
    indices = torch.arange(len(samples))
    torch.manual_seed(0)
    pair = TilePairs("both").draw(samples, indices)
    assert torch.equal(pair.mask, samples.valid(indices)) and not pair.mask.all()
    middle = torch.full((9,), 4)  # its surroundings lie in the scene, so it is not moved
    turned = TilePairs("both", Geometry(shift=0, flips=False)).draw(samples, middle)
    valid_here = samples.valid(middle)
    assert not (turned.mask & ~valid_here).any() and (turned.mask.sum(dim=(1, 2)) < valid_here.sum(dim=(1, 2))).all()


def test_a_warped_pixel_counts_only_where_valid_pixels_make_it_up() -> None:
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[0, 3, 3] = False
    still, half = torch.eye(2)[None], torch.tensor([[0.5, 0.5]])
    assert torch.equal(covered(valid, still, torch.zeros(1, 2), 8), valid)
    moved = covered(valid, still, half, 8)[0]
    wanted = torch.ones(8, 8, dtype=torch.bool)
    wanted[2:4, 2:4] = False  # each of them takes a quarter of the invalid pixel
    wanted[-1] = wanted[:, -1] = False  # and these lie half outside
    assert torch.equal(moved, wanted)


# settings and turns


def test_odd_tiles_and_displacements_beyond_the_tile_are_refused() -> None:
    with pytest.raises(UsageError, match="even --patch"):
        tiny_settings(patch=33).check()
    with pytest.raises(UsageError, match="--displacement 32"):
        tiny_settings(displacement=32).check()
    IicDenseSettings().check()


def test_the_auxiliary_head_has_three_clusters_for_each_unless_told() -> None:
    assert IicDenseSettings(classes=7).over == 21
    method = tiny_method()
    assert method.over[0].conv.out_channels == 8 and method.network.heads[0].conv.out_channels == 4  # type: ignore


def phase_of(method: IicDense) -> IicDensePhase:
    phase = method.phases[0]
    assert isinstance(phase, IicDensePhase)
    return phase


def test_an_epoch_is_a_pass_of_the_auxiliary_head_then_one_of_the_main_head() -> None:
    method = tiny_method(entropy_weight=1.5, over_entropy_weight=1.2)
    phase, seen = phase_of(method), []
    for indices in phase.batches(11, torch.Generator().manual_seed(0)):
        seen.append((phase.heads is method.over, phase.weight, indices))
    assert [(over, weight) for over, weight, _ in seen] == [(True, 1.2)] * 2 + [(False, 1.5)] * 2
    for half in (seen[:2], seen[2:]):
        assert len(set(torch.cat([indices for _, _, indices in half]).tolist())) == 8
    assert [len(indices) for indices in phase.batches(3, torch.Generator())] == [3, 3]


def test_a_step_moves_the_trunk_and_its_own_head_only() -> None:
    method, samples = tiny_method(), tiles()
    phase = phase_of(method)
    for heads, others in ((method.over, method.network.heads), (method.network.heads, method.over)):
        method.module.zero_grad(set_to_none=True)
        phase.heads = heads
        phase.step(samples, torch.arange(4))
        assert all(
            p.grad is not None and p.grad.any() for p in [*heads.parameters(), *method.network.trunk.parameters()]
        )
        assert all(p.grad is None for p in others.parameters())


def test_tiles_are_moved_within_half_a_stride() -> None:
    torch.manual_seed(0)
    moves = phase_of(tiny_method(stride=9))._moves(500)
    assert moves.shape == (500, 2) and set(moves.unique().tolist()) == set(range(-4, 5))


def test_pixels_that_do_not_count_do_not_change_the_loss() -> None:
    """Through the network's own loss: answers on masked pixels may be anything."""
    method = tiny_method()
    valid = np.ones((96, 96), bool)
    valid[:20, :50] = False
    samples = tiles(valid=valid)
    pair = method.fixed(samples, torch.arange(len(samples)))
    hidden = ~pair.mask

    class Disturbed(torch.nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            scores = method.network.heads[0](features)
            count = len(scores) // 2
            fake = torch.nn.functional.max_pool2d(hidden[:, None].float(), 2, 2).bool()
            first = torch.where(fake, 9 * torch.rand_like(scores[:count]), scores[:count])
            return torch.cat([first, scores[count:]])

    method.network.eval()
    # up-sampling mixes a pixel of the coarse map into its neighbours, so the mask is widened for this test
    wide = torch.nn.functional.max_pool2d(hidden[:, None].float(), 9, 1, 4)[:, 0] == 0
    pair = type(pair)(pair.first, pair.second, wide, pair.back)
    with torch.no_grad():
        plain = losses(method.network, method.network.heads, pair, method.settings, 1.0)[0][0]
        disturbed = losses(method.network, [Disturbed()], pair, method.settings, 1.0)[0][0]
    assert hidden.any() and float(plain) == pytest.approx(float(disturbed), abs=1e-6)


# training


def test_the_score_is_the_lowest_of_the_heads_and_repeats_itself() -> None:
    method, samples = tiny_method(heads=3), tiles()
    sample = method.fixed(samples, torch.arange(6))
    again = method.fixed(samples, torch.arange(6))
    assert torch.equal(sample.second, again.second)
    score, shares = method.score(sample)
    each = [
        float(loss.detach()) for loss in losses(method.network, method.network.heads, sample, method.settings, 1.0)[0]
    ]
    assert len(each) == 3 and score == pytest.approx(min(each)) and int(method.network.chosen) == int(np.argmin(each))
    assert method.score(sample) == (score, shares) and not method.network.training


def trained(size: int, **options: object) -> tuple[IicDense, list[dict], SceneSamples, np.ndarray]:
    """After training on fields of 32 pixels, about what the network sees; smaller ones it tells by their neighbours."""
    values, kinds = blocks_scene(size, size, block=32, noise=12.0)
    patches, moments = find_patches([scene_of(values)], 32, 32, valid_share=TILE_VALID_SHARE)
    samples = SceneSamples(patches, moments, device=CPU, memory=1 << 24, masks=True)
    settings = tiny_settings(learning_rate=1e-2, batch=6, **options)
    trainer = Trainer(lambda: IicDense(settings, 3, 32), samples, TrainingSettings(seed=3, patience=0), CPU)
    found = trainer.train()
    assert isinstance(found.method, IicDense)
    return found.method, found.history, samples, kinds


def test_training_lowers_the_loss_and_finds_the_fields() -> None:
    method, history, samples, kinds = trained(192, epochs=6, width=8)
    assert min(row["score"] for row in history) < min(-0.8, history[0]["score"] - 0.1)
    method.network.eval()
    with torch.no_grad():
        labels = method.network.predict(samples.gather(torch.tensor([0]), 192))[0].argmax(dim=0).numpy()
    counts = np.zeros((4, 4), np.int64)
    np.add.at(counts, (labels.ravel(), kinds.ravel()), 1)
    assert counts.max(axis=1).sum() / counts.sum() > 0.7


@pytest.mark.parametrize(
    "options",
    [
        {"affine": True, "flips": "both"},
        {"photometric": "rgb-jitter", "sobel": True},
        {"collapsed": True, "heads": 2, "photometric": "none"},
    ],
)
def test_every_option_trains(options: dict[str, object]) -> None:
    _, history, _, _ = trained(96, epochs=2, **options)
    assert all(np.isfinite(row["loss"]) and row["loss"] < 0.05 for row in history)
