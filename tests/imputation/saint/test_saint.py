"""SAINT from its wheel: what it sees, where its slices return to, its part in the image."""

import importlib.util
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
import torch

from slicefill import api
from slicefill.command_line import main
from slicefill.imputation.imputers import load_named
from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.saint.infer import distances
from slicefill.io.case_folder import write_volume
from slicefill.simulation.procedural import procedural_volume
from slicefill.types import Stack

POSITIONS = [0.2, 0.5, 0.7]
LINEAR = """
    import torch

    class Linear(torch.nn.Module):
        '''Interpolates along the last axis, by how far the pixels before and after are.'''

        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(()))

        def forward(self, seen, apart):
            before, after = apart[:, :, 1, 1], apart[:, :, 2, 1]
            t = (before / (before + after))[:, :, None, None]
            here = seen[:, 1:2]
            along = self.slope * torch.arange(seen.shape[2])[:, None]
            return (1 - t) * here + t * here.roll(-1, -1) + along

    def make_model(args):
        assert (args.G0, args.RDNkSize, args.RDNconfig) == (64, 3, 'C')
        return Linear()
"""


FUSION = """
    import torch

    class Rows(torch.nn.Module):
        '''Takes three quarters of what was made row by row.'''

        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(()))

        def forward(self, seen):
            return 0.75 * seen[:, :1] + 0.25 * seen[:, 1:]

    def make_model(args):
        return Rows()
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel laid out as SAINT's, whose networks interpolate; returns how to set their slope."""
    package = tmp_path / "wheel" / "py_SAINT"
    for stage, code in (("STAGE1", LINEAR), ("STAGE2", FUSION)):
        (package / stage / "model").mkdir(parents=True)
        (package / stage / "model" / "meta_multi.py").write_text(textwrap.dedent(code))
    (package / "__init__.py").touch()
    told = tmp_path / "wheel" / "py_SAINT-1.7.0.dist-info" / "METADATA"
    told.parent.mkdir()
    told.write_text("Metadata-Version: 2.1\nName: py-SAINT\nVersion: 1.7.0\n")

    def forget():
        for name in [each for each in sys.modules if each.partition(".")[0] == "py_SAINT"]:
            del sys.modules[name]

    def with_slope(slope):
        for stage in ("STAGE1", "STAGE2"):
            torch.save({"slope": torch.tensor(slope)}, package / stage / "model_best.pt")

    forget()
    monkeypatch.syspath_prepend(str(tmp_path / "wheel"))
    with_slope(0.0)
    yield with_slope
    forget()


@pytest.fixture
def without(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "py_SAINT" else found(name)
    )


@pytest.fixture
def alone(imputation_params):
    return lambda: load_named({"kind": "saint"}, imputation_params(count=3)).method


@pytest.fixture
def stack():
    image = np.random.default_rng(0).integers(-200, 900, (5, 2, 6, 8)).astype(np.float32)
    image[:, 1] /= 80
    return Stack(image, np.array([[-100.0, 700.0], [0.0, 10.0]]))


def test_both_views_return_to_their_slices_and_positions(wheel, alone, stack):
    made = alone()(stack, POSITIONS, np.random.default_rng(0))
    linear = impute_classically("linear", stack, POSITIONS)
    np.testing.assert_allclose(made.image, linear.image, atol=1e-2)


def test_slices_of_rows_are_fused_first_and_each_channel_is_2000_wide(wheel, alone, stack):
    """Of 20 a pixel, a hundredth of the intensities: along rows in one view, else along columns."""
    wheel(20.0)
    made = alone()(stack, POSITIONS, np.random.default_rng(0))
    away = made.image - impute_classically("linear", stack, POSITIONS).image
    row, column = np.indices((6, 8))
    expected = 0.75 * column + 0.25 * row
    for channel in range(2):
        width = np.subtract(*np.percentile(stack.image[:, channel], [99.5, 0.5]))
        expected_here = np.broadcast_to(width / 100 * expected, (4, 3, 6, 8))
        np.testing.assert_allclose(away[:, :, channel], expected_here, rtol=1e-3, atol=1e-2)


def test_batches_change_nothing(wheel, stack, imputation_params):
    wheel(20.0)
    load = partial(load_named, {"kind": "saint"})
    whole, parts = (
        load(imputation_params(count=3, batch_pixels=each)).method(
            stack, POSITIONS, np.random.default_rng(0)
        )
        for each in (2**19, 1)
    )
    np.testing.assert_allclose(parts.image, whole.image, atol=1e-3)


def test_no_position_is_no_slice(wheel, alone, stack):
    assert alone()(stack, [], np.random.default_rng(0)).image.shape == (4, 0, 2, 6, 8)


def test_it_is_told_how_far_the_pixels_around_a_position_are():
    found = distances([0.25, 0.5, 0.75])[0]
    assert found[:, :, 1].tolist() == [[5, 1, 3], [6, 2, 2], [7, 3, 1]]
    assert found[0, 1, 0].item() == found[0, 1, 2].item() == pytest.approx(2**0.5)
    assert distances([0.5])[0, 0, :, 1].tolist() == [4.5, 1.5, 1.5]  # as of three fine pixels
    assert distances([k / 10 for k in range(1, 10)])[0, 4, :, 1].tolist() == [9, 3, 3]  # as of six


@pytest.fixture
def scan(make_case):
    return make_case(procedural_volume(5, 48, 0.0)[::3])


def test_it_takes_part_in_the_image_of_the_shipped_weights_alone(wheel, scan):
    fast, made = (api.impute(scan, quality=quality, count=1) for quality in ("fast", "saint"))
    chosen = made.record["choice"]
    assert sum(chosen[each] for each in ("network", "dis", "cubic", "planes")) == pytest.approx(
        1, abs=1e-3
    )
    assert chosen["planes"] > 0
    assert not np.array_equal(made.image.stored, fast.image.stored)
    np.testing.assert_array_equal(made.label.stored, fast.label.stored)
    assert api.verify(made, scan) == []
    exact = api.impute(scan, quality="saint", voxel_spacing=(1.0, 1.0, 1.3))
    assert api.verify(exact, scan) == []


def test_its_results_are_not_taken_for_those_of_our_planes(wheel, imputation_params):
    ways = ("fast", "good", "saint")
    params = (imputation_params(quality=way, count=1) for way in ways)
    loaded = [load_named("pretrained", own) for own in params]
    assert len({imputer.fingerprint for imputer in loaded}) == len(ways)
    assert len({imputer.planes_model for imputer in loaded}) == len(ways)


@pytest.mark.parametrize("told", [{"quality": "saint"}, {"method": {"kind": "saint"}}])
def test_without_its_wheel_it_says_what_to_install(without, scan, told):
    with pytest.raises(ValueError, match=r"py-SAINT.*found none; pip install 'slicefill\[saint\]'"):
        api.impute(scan, count=1, **told)


def test_the_command_says_what_to_install(without, scan, tmp_path, capsys):
    write_volume(scan.image, tmp_path / "scan.nii.gz")
    with pytest.raises(SystemExit) as ended:
        main(["impute", str(tmp_path / "scan.nii.gz"), "--quality", "saint"])
    assert ended.value.code == 2
    assert "pip install 'slicefill[saint]'" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["scan.nii.gz"]


@pytest.mark.skipif(
    importlib.util.find_spec("py_SAINT") is None,
    reason="SAINT is not installed: pip install 'slicefill[saint]'",
)
def test_the_weights_of_the_wheel_follow_an_outline_that_moves(alone):
    """A disk that moves six pixels from slice to slice: between, it is one disk, not two halves."""
    rows, columns = np.indices((48, 48))
    truth = np.stack([
        1 / (1 + np.exp(np.hypot(rows - 24, columns - 12 - 3 * k) - 8)) for k in range(9)
    ]).astype(np.float32)  # fmt: skip
    stack = Stack(np.ascontiguousarray(truth[::2, None]), np.array([[0.0, 1.0]]))
    inner = slice(1, 3)
    made = alone()(stack, [0.5], np.random.default_rng(0)).image[inner, 0, 0]
    linear = (stack.image[:-1, 0] + stack.image[1:, 0])[inner] / 2
    errors = [np.square(each - truth[1::2][inner]).mean() for each in (made, linear)]
    assert errors[0] < 0.5 * errors[1]
