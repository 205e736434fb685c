"""AlignNet: its size, the order of composition, its losses, and what it learns of a phantom."""

import numpy as np
import pytest
import torch

from slicefill.registration import displacement_error, register
from slicefill.registration.alignnet import Params, train
from slicefill.registration.alignnet.cubes import from_world, make_cube, to_world
from slicefill.registration.alignnet.drawing import Pair, draw
from slicefill.registration.alignnet.learner import align_terms
from slicefill.registration.alignnet.losses import local_correlation
from slicefill.registration.alignnet.network import AlignNet, align, rigid_matrices, warp
from slicefill.simulation.views import TRUTH, ViewsParams, simulate_views
from slicefill.training.fit import Run, Stateless, ignore
from tests.registration.test_registration import POINTS, bars

SMALL = Params(
    cube_mm=60, pitch_mm=1.5, width=4, rotation=15, translation=5, rate=3e-3, batch=4,
    steps_per_epoch=50, epochs=6, supervised_steps=300, repeats=3, teacher={"kind": "truth"},
)  # fmt: skip


def views(rotation=10.0, translation=4.0):
    params = ViewsParams(
        slice_mm=3.0, field_mm=60.0, translation=translation, rotation=rotation, gamma=(1, 1)
    )
    return simulate_views(bars(), params, 5)


def test_it_has_the_published_size_and_begins_at_the_identity():
    network = AlignNet(128, 16)
    assert sum(each.numel() for each in network.parameters()) == 455_414
    small = AlignNet(44, 2)
    images = torch.rand(2, 1, 44, 44, 44)
    torch.testing.assert_close(small(images, images.flip(2)), torch.eye(4).repeat(2, 1, 1))
    with pytest.raises(ValueError, match="at least 36 voxels"):
        AlignNet(35, 2)


def test_matrices_turn_by_y_then_x_then_z():
    from scipy.spatial.transform import Rotation

    angles, shift = torch.tensor([[0.3, -0.5, 0.7]]), torch.tensor([[0.1, 0.2, -0.3]])
    found = rigid_matrices(angles, shift)[0].numpy()
    expected = Rotation.from_euler("yxz", [-0.5, 0.3, 0.7]).as_matrix()
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], [0.1, 0.2, -0.3], atol=1e-6)


class Script(torch.nn.Module):
    """Says known matrices one after the other, and remembers what it was shown."""

    def __init__(self, matrices):
        super().__init__()
        self.matrices, self.shown = list(matrices), []

    def forward(self, moving, fixed):
        self.shown.append(moving)
        return self.matrices[len(self.shown) - 1]


def test_passes_are_composed_first_to_last():
    """By hand: a quarter about z, then a shift along x. The other order shifts along y."""
    quarter = rigid_matrices(torch.tensor([[0, 0, torch.pi / 2]]), torch.zeros(1, 3))
    shift = rigid_matrices(torch.zeros(1, 3), torch.tensor([[0.5, 0, 0]]))
    image = torch.rand(1, 1, 8, 8, 8)
    script = Script([quarter, shift])
    found = align(script, image, image, 2)[0]
    origin = torch.tensor([0.0, 0, 0, 1])
    torch.testing.assert_close(found @ origin, torch.tensor([0.0, 0.5, 0, 1]), atol=1e-6, rtol=0)
    torch.testing.assert_close(script.shown[1], warp(image, quarter))
    # What a third pass would see is what the two have done one after the other.
    twice = warp(warp(image, quarter), shift)
    torch.testing.assert_close(warp(image, found[None]), twice, atol=1e-4, rtol=0)


def test_local_correlation_is_what_a_loop_finds():
    rng = torch.Generator().manual_seed(0)
    first, second = (torch.rand(1, 1, 7, 6, 5, generator=rng).double() for _ in range(2))
    everywhere = torch.ones_like(first)
    assert local_correlation(first, first, everywhere, 3) == pytest.approx(1, abs=1e-3)
    assert local_correlation(first, 2 - 3 * first, everywhere, 3) == pytest.approx(1, abs=1e-3)
    squared = []
    for place in np.ndindex(5, 4, 3):
        box = tuple(slice(each, each + 3) for each in place)
        pair = [each[0, 0][box].flatten().numpy() for each in (first, second)]
        squared.append(np.corrcoef(*pair)[0, 1] ** 2)
    inside = torch.zeros_like(first)
    inside[:, :, 1:-1, 1:-1, 1:-1] = 1
    found = local_correlation(first, second, inside, 3)
    assert found == pytest.approx(np.mean(squared), abs=1e-4)


def test_matrices_between_cubes_are_those_between_worlds():
    seen = views()
    truth = np.array(seen["coronal"].record[TRUTH])
    fixed, moving = (make_cube(seen[each], 60, 1.5) for each in ("axial", "coronal"))
    back = to_world(from_world(truth, fixed, moving), fixed, moving)
    np.testing.assert_allclose(back, truth, atol=1e-9)
    assert not np.allclose(fixed.centre, moving.centre, atol=1)


def test_known_motions_align_what_is_drawn():
    """The truth of a drawn pair makes its views alike; no motion does not."""
    seen = views()
    truth = np.array(seen["coronal"].record[TRUTH])
    fixed, moving = (make_cube(seen[each], 60, 1.5) for each in ("axial", "coronal"))
    pairs = [Pair(fixed, moving, from_world(truth, fixed, moving))]
    drawn = draw(pairs, SMALL, np.random.default_rng(0), known=True)
    moved = warp(drawn.moving[:, :1], drawn.truth)

    def alike(image):
        return np.corrcoef(image.flatten(), drawn.fixed[:, :1].flatten())[0, 1]

    assert alike(moved) > 0.8
    assert alike(moved) > alike(drawn.moving[:, :1]) + 0.1


def test_losses_are_lower_where_views_are_aligned():
    cube = make_cube(views()["axial"], 60, 1.5)
    drawn = draw([Pair(cube, cube)], SMALL, np.random.default_rng(0), known=False)
    network = AlignNet(SMALL.side, 2)  # the identity
    apart = align_terms(network, drawn, SMALL)
    together = align_terms(network, type(drawn)(drawn.fixed, drawn.fixed, None), SMALL)
    assert together["similarity"] < apart["similarity"] - 0.1
    assert apart["identity"].item() == pytest.approx(0, abs=1e-9)
    far = rigid_matrices(torch.zeros(1, 3), torch.tensor([[0.3, 0, 0]]))
    known = align_terms(network, type(drawn)(drawn.fixed, drawn.moving, far), SMALL)
    assert known["motion"].item() == pytest.approx(0.09)


def test_training_is_the_same_twice_and_its_network_is_applied(tmp_path):
    seen = views()
    short = SMALL.model_copy(update={"epochs": 2, "steps_per_epoch": 3, "supervised_steps": 3})
    groups, run = [list(seen.values())[:2]], Run(Stateless(), ignore)
    made, again = (train(groups, short, run) for _ in range(2))
    assert made["history"] == again["history"]
    assert {row["term"] for row in made["history"]} == {
        "train/motion", "train/similarity", "train/identity"
    }  # fmt: skip
    torch.save(made, tmp_path / "net.pt")
    entry = {"kind": "alignnet", "repeats": 2}
    found = register(seen["axial"], seen["coronal"], entry, made)
    read = register(seen["axial"], seen["coronal"], entry | {"network": str(tmp_path / "net.pt")})
    np.testing.assert_array_equal(found, read)
    assert not np.allclose(found, np.eye(4), atol=0.1)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-6)
    with pytest.raises(ValueError, match="got no such file"):
        register(seen["axial"], seen["coronal"], entry | {"network": str(tmp_path / "none.pt")})
    with pytest.raises(ValueError, match="change one of them"):
        register(seen["axial"], seen["coronal"], entry | {"pitch_mm": 20})


@pytest.mark.slow  # a minute of one core
def test_it_learns_to_align_what_it_has_not_seen():
    """Trained on one set of motions and offsets of slices, applied to another; mm."""
    changes = {"identity_weight": 0, "epochs": 8, "supervised_steps": 400, "centred": "reference"}
    options = SMALL.model_copy(update=changes)
    checkpoint = train([list(views().values())], options, Run(Stateless(), ignore))
    motion = ViewsParams(slice_mm=3.0, field_mm=60.0, translation=5, rotation=10)
    before, after = [], []
    for seed in (6, 7):
        other = simulate_views(bars(), motion, seed)
        for plane in ("coronal", "sagittal"):
            truth, pair = other[plane].record[TRUTH], (other["axial"], other[plane])
            found = register(*pair, {"kind": "alignnet", "repeats": 4}, checkpoint)
            before.append(displacement_error(np.eye(4), truth, POINTS))
            after.append(displacement_error(found, truth, POINTS))
    assert np.mean(after) < 0.7 * np.mean(before), (before, after)
