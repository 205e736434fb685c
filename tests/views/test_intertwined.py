"""Intertwined training: whom each loss teaches, and the two networks end to end on a tiny set."""

import numpy as np
import pytest
import torch

from slicefill.params import HardwareParams
from slicefill.registration.alignnet import Params as AlignParams
from slicefill.registration.alignnet import train
from slicefill.registration.alignnet.network import AlignNet, rigid_matrices, warp
from slicefill.simulation.views import ViewsParams, simulate_views
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.types import Case
from slicefill.views.intertwined.cubes import labelled_cubes, to_view
from slicefill.views.intertwined.losses import aligner_consistency, segmenter_consistency
from slicefill.views.intertwined.params import IntertwinedParams
from slicefill.views.intertwined.segmenter import Segmenter
from slicefill.views.intertwined.training import Apart, aligner_of, intertwine, segment_by_cube
from tests.registration.test_registration import bars

SIDE = 40
ALIGN = AlignParams(
    cube_mm=60, pitch_mm=1.5, width=2, epochs=1, steps_per_epoch=1, supervised_steps=1, batch=1,
    identity_weight=0,
)  # fmt: skip
OPTIONS = IntertwinedParams(
    registration="alignnet", alpha_segmenter=0.05, alpha_aligner=0.05, rate=1e-3, decay=0.9,
    every=200, epochs=2, steps_per_epoch=2, batch=1, seed=0,
)  # fmt: skip
DESIGN = {
    "dims": 3, "channels": 1, "classes": 3, "width": 4, "widest": 4, "deep_supervision": True,
    "kernels": [[3, 3, 3]] * 4, "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
}  # fmt: skip


def views(seed=5):
    case = bars()
    label = np.digitize(case.image.stored, [0.5, 1.5]).astype(np.uint8)
    case = Case(case.image, case.image.with_stored(label))
    motion = ViewsParams(slice_mm=3.0, field_mm=60.0, translation=3, rotation=5)
    return list(simulate_views(case, motion, seed).values())


class Bright(torch.nn.Module):
    """Segments by a threshold that it learns."""

    def __init__(self):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, image):
        inside = torch.sigmoid(10 * (image - self.threshold))
        return torch.cat([1 - inside, inside], 1)


def pair():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 2, SIDE, SIDE, SIDE)
    images[:, :, 1] = 1
    return images.unbind(0)


def found_by(aligner, first, second):
    return aligner(second[:, :1], first[:, :1]), aligner(first[:, :1], second[:, :1])


@pytest.mark.parametrize("loss", [segmenter_consistency, aligner_consistency])
def test_each_consistency_teaches_only_its_own_network(loss):
    first, second = pair()
    segmenter, aligner = Bright(), AlignNet(SIDE, 2)
    value = loss(segmenter, first, second, found_by(aligner, first, second))
    value.backward()
    to_segmenter = segmenter.threshold.grad is not None
    to_aligner = any(each.grad is not None for each in aligner.parameters())
    assert (to_segmenter, to_aligner) == (
        (True, False) if loss is segmenter_consistency else (False, True)
    )
    taught = [segmenter] if to_segmenter else [aligner]
    assert sum(float(p.grad.abs().sum()) for p in taught[0].parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("loss", [segmenter_consistency, aligner_consistency])
def test_consistency_is_zero_for_views_that_are_aligned_and_not_otherwise(loss):
    """By hand: the second view is the first, three voxels further; the matrix knows it or not."""
    first = torch.zeros(1, 2, SIDE, SIDE, SIDE)
    first[:, :1, 10:20, 10:20, 10:20], first[:, 1] = 1, 1
    second = first.clone()
    second[:, :1] = first[:, :1].roll(3, -1)
    shift = rigid_matrices(torch.zeros(1, 3), torch.tensor([[6 / SIDE, 0.0, 0.0]]))
    back = torch.linalg.inv(shift)
    torch.testing.assert_close(warp(second[:, :1], shift), first[:, :1], atol=1e-4, rtol=0)
    bright, still = Bright(), torch.eye(4)[None]
    known = loss(bright, first, second, (shift, back)).item()
    unknown = loss(bright, first, second, (still, still)).item()
    assert known == pytest.approx(0, abs=1e-6)
    # 2 × 3 × 10 × 10 voxels differ, in both classes, by the same; of both directions
    low, high = torch.sigmoid(torch.tensor([-5.0, 5.0]))
    assert unknown == pytest.approx(float(2 * 600 / SIDE**3 * (high - low) ** 2), rel=1e-3)


def test_labels_go_onto_a_cube_and_back():
    seen = views()
    (own, *_) = labelled_cubes(seen, ALIGN, (0, 1, 2))
    probabilities = np.eye(3, dtype=np.float32)[own.label].transpose(3, 0, 1, 2)
    back = to_view(probabilities, own.cube, seen[0].image)
    truth = seen[0].label.stored
    for number in (1, 2):
        overlap = 2 * ((back == number) & (truth == number)).sum()
        assert overlap / ((back == number).sum() + (truth == number).sum()) > 0.75
    with pytest.raises(ValueError, match="expected views with label maps"):
        labelled_cubes([Case(seen[0].image)], ALIGN, (0, 1, 2))


def test_a_network_without_gradients_of_ours_is_refused():
    for design in ({}, {**DESIGN, "dims": 2}, {**DESIGN, "channels": 2}):
        with pytest.raises(ValueError, match="gradients are needed"):
            Segmenter(design)


def test_both_networks_learn_and_are_used(tmp_path):
    run = Run(Stateless(), ignore)
    seen = views()
    torch.manual_seed(0)
    segmenter = {
        "design": DESIGN, "classes": [0, 1, 2], "fingerprint": "s",
        "weights": Segmenter(DESIGN).network.state_dict(),
    }  # fmt: skip
    apart = Apart(segmenter, train([seen], ALIGN, run, own="a"))
    made = intertwine([seen], [], apart, OPTIONS, run, own="own", hardware=HardwareParams())
    terms = {row["term"] for row in made["history"]}
    assert terms == {
        "train/labels", "train/segmenter_consistency", "train/similarity",
        "train/aligner_consistency",
    }  # fmt: skip
    for before, after in (
        (apart.segmenter["weights"], made["weights"]["segmenter"]),
        (apart.aligner["weights"], aligner_of(made)["weights"]),
    ):
        assert any(not torch.equal(before[name], after[name]) for name in before)
    again = intertwine([seen], [], apart, OPTIONS, run, own="own", hardware=HardwareParams())
    assert again["history"] == made["history"]
    found = segment_by_cube(Case(seen[1].image), made)
    assert found.label.stored.shape == seen[1].image.stored.shape
    np.testing.assert_array_equal(found.label.affine, seen[1].image.affine)
    with pytest.raises(ValueError, match="two labelled views"):
        intertwine([seen[:1]], [], apart, OPTIONS, run, own="own", hardware=HardwareParams())
