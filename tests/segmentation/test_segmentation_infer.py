"""Prediction: every voxel once and in its place, padded as in training."""

import numpy as np
import pytest
import torch
from torch import nn

from slicefill.params import HardwareParams, InferenceParams
from slicefill.segmentation.networks import build_dynunet3d, build_unet2d
from slicefill.segmentation.planning import plan_levels
from slicefill.segmentation.sampling import Drawing, Sampler
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.sliding_window import make_predictor
from slicefill.segmentation.stitching import divide, stitch_centres
from slicefill.training.hardware import launch_fabric
from slicefill.types import Lazy

ODD = (5, 35, 21)


@pytest.fixture(scope="module")
def fabric():
    return launch_fabric(HardwareParams(accelerator="cpu", devices=1, precision="32-true"))


@pytest.fixture(scope="module")
def predict(fabric):
    def run(network, scan, patch, **changes):
        params = InferenceParams(**{"overlap": 0.5, "batch": 2, "softmax": False, **changes})
        return make_predictor(fabric, network, patch, params)(scan)

    return run


def make_scan(shape=ODD, channels=1):
    image = np.random.default_rng(0).random((shape[0], channels, *shape[1:]), np.float32)
    weight = np.ones(shape, np.float32)
    return Scan(image, weight.astype(int), weight, weight.any(axis=(1, 2)), np.ones(3), 0)


def unet2d():
    torch.manual_seed(0)
    return build_unet2d(1, 3, width=4, dropout=0.5)


def dynunet3d():
    torch.manual_seed(0)
    levels = plan_levels(np.array([4.0, 1, 1]), (4, 16, 16))
    return build_dynunet3d(1, 3, levels, width=4, widest=8, deep_supervision=True)


NETWORKS = pytest.mark.parametrize(
    ("build", "patch"), [(unet2d, (32, 32)), (dynunet3d, (4, 16, 16))]
)


class Pointwise(nn.Module):
    """Logits (x, 1 - x, 0), voxel by voxel; remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image):
        self.seen.append(image)
        first = image[:, :1]
        return torch.cat([first, 1 - first, torch.zeros_like(first)], dim=1)


@NETWORKS
def test_probabilities_sum_to_1_in_every_voxel_of_a_scan_of_odd_size(build, patch, predict):
    found = predict(build(), make_scan(), patch)
    assert found.shape == (3, *ODD)
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


@NETWORKS
def test_prediction_leaves_the_network_in_evaluation_mode(build, patch, predict):
    network = build().train()
    once, again = (predict(network, make_scan(), patch) for _ in range(2))
    assert not any(module.training for module in network.modules())
    np.testing.assert_array_equal(once, again)  # no dropout


def test_the_number_of_slices_at_once_is_of_no_account(predict):
    one, two, all_of_them = (
        predict(unet2d(), make_scan(), (32, 32), batch=batch) for batch in (1, 2, 99)
    )
    np.testing.assert_allclose(two, one, atol=1e-6)
    np.testing.assert_allclose(all_of_them, one, atol=1e-6)


@pytest.mark.parametrize("shape", [ODD, (3, 64, 48), (9, 17, 90)])
@pytest.mark.parametrize("patch", [(32, 32), (48, 16), (4, 16, 16), (8, 40, 24)])
@pytest.mark.parametrize("stitching", ["gaussian", "centre"])
def test_every_voxel_is_predicted_in_its_place(shape, patch, stitching, predict):
    scan = make_scan(shape)
    x = torch.from_numpy(scan.image[:, 0])
    expected = torch.stack([x, 1 - x, torch.zeros_like(x)]).softmax(0).numpy()
    found = predict(Pointwise(), scan, patch, stitching=stitching)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_identity_comes_back_to_the_bit_from_the_centres_of_tiles():
    volume = torch.rand(2, 9, 41, 30, generator=torch.Generator().manual_seed(0))
    made = stitch_centres(nn.Identity(), volume, (12, 16, 16), 1 / 3, 5)
    assert torch.equal(made, volume)


class Depth(nn.Module):
    """Says of every voxel how far it lies from the edge of its window, along columns."""

    def forward(self, image):
        width = image.shape[-1]
        depth = torch.minimum(torch.arange(width), torch.arange(width).flip(0))
        return depth.expand(image.shape).float()


def test_no_voxel_but_at_the_border_comes_from_the_margin_of_a_tile():
    """48 with an overlap of a third: 8 voxels deep at least, save at the border of the volume."""
    depth = stitch_centres(Depth(), torch.zeros(1, 4, 4, 130), (4, 4, 48), 1 / 3, 2)[0, 0, 0]
    assert depth[8:-8].min() >= 8
    assert depth[:8].tolist() == list(range(8))


@pytest.mark.parametrize(("size", "window", "overlap"), [(48, 48, 0.5), (97, 20, 0.9), (50, 7, 0)])
def test_parts_of_an_axis_lie_side_by_side_within_their_windows(size, window, overlap):
    parts = divide(size, window, overlap)
    assert [one.end for one in parts[:-1]] == [one.first for one in parts[1:]]
    assert (parts[0].first, parts[-1].end) == (0, size)
    assert all(one.start <= one.first < one.end <= one.start + window for one in parts)


def test_windows_overlap_as_asked(predict):
    counts = []
    for overlap in (0.0, 0.5):
        network = Pointwise()
        predict(network, make_scan((4, 32, 32)), (4, 16, 16), overlap=overlap, batch=1)
        counts.append(len(network.seen))
    assert counts == [2 * 2, 3 * 3]


@pytest.mark.parametrize("patch", [(48, 48), (8, 48, 48)])
def test_a_scan_smaller_than_the_patch_looks_as_in_training(patch, predict):
    scan, network = make_scan(channels=2), Pointwise()
    predict(network, scan, patch, batch=1)
    assert {image.shape[2:] for image in network.seen} == {patch}
    drawing = Drawing(patch, 0.0, None, (0, 1), cache_gb=1.0)
    drawn = Sampler({"a": Lazy(lambda: scan, "a")}, drawing).draw(8, np.random.default_rng(0))
    for image in drawn.image:
        assert any(torch.equal(image, seen[0]) for seen in network.seen)


@pytest.mark.parametrize("patch", [(48, 48), (8, 48, 48)])
def test_the_margin_repeats_the_edge_evenly_on_both_sides(patch, predict):
    scan, network = make_scan(), Pointwise()
    predict(network, scan, patch, batch=99)
    (seen,) = network.seen
    if len(patch) == 3:
        seen = seen[0].movedim(0, 1)
    margins = [(1, 2) if len(patch) == 3 else (0, 0), (0, 0), (6, 7), (13, 14)]
    np.testing.assert_array_equal(seen.numpy(), np.pad(scan.image, margins, mode="edge"))


def test_slices_are_enlarged_to_what_the_network_can_halve(predict):
    network = Pointwise()
    predict(network, make_scan((2, 65, 48)), (32, 32))
    assert network.seen[0].shape == (2, 1, 80, 48)
