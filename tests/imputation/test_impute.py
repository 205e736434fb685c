from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from slicefill.geometry import slices_first
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer, learned_imputer
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.super_resolution.networks import build_generator
from slicefill.imputation.methods.super_resolution.params import NetworkParams
from slicefill.imputation.verification import verify_imputed_case
from slicefill.io.case_folder import read_case, write_case
from slicefill.types import Case

DTYPES = ["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"]


@pytest.fixture(scope="module")
def checkpoint(synthesis_params):
    """An untrained model of one channel; what it makes of the intervals does not matter here."""
    torch.manual_seed(0)
    return {
        "kind": "slice_imputation",
        "window": synthesis_params.window.model_dump(),
        "weights": SynthesisModel(1, synthesis_params.network, synthesis_params.parts).state_dict(),
        "critics": {},
        "network": synthesis_params.network.model_dump(),
        "parts": synthesis_params.parts.model_dump(),
        "channels": 1,
    }


@pytest.fixture(scope="module")
def fill(checkpoint, imputation_params):
    """Impute a case by a method, with parameters as in conf/base but for changes."""

    def impute_one(case, method="linear", **changes):
        params = imputation_params(**{"through_plane": "auto", **changes})
        learned = method == "slice_imputation"
        imputer = (
            learned_imputer(method, checkpoint, params)
            if learned
            else classical_imputer(method, params)
        )
        return impute_case(case, imputer, params)

    return impute_one


def turned(case, axis):
    """The same case with its slices along another array axis."""
    order = [0, 1]
    order.insert(axis, 2)  # new axis k is old axis order[k]

    def turn(volume):
        rest = range(3, volume.stored.ndim)
        stored = np.ascontiguousarray(volume.stored.transpose((*order, *rest)))
        return volume.with_stored(stored, np.eye(4)[:, [*order, 3]])

    return Case(turn(case.image), turn(case.label), record=case.record)


def assert_acquired_untouched(imputed, source, axis, step):
    for one, other in ((imputed.image, source.image), (imputed.label, source.label)):
        kept = slices_first(one.stored, axis)[::step]
        assert one.stored.dtype.str == other.stored.dtype.str
        assert kept.tobytes() == slices_first(other.stored, axis).tobytes()


@pytest.mark.parametrize("method", ["linear", "cubic", "slice_imputation"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_acquired_slices_are_bit_identical_on_disk(case, fill, tmp_path, method, dtype):
    source = case(dtype, scale=(0.5, -10.0))
    write_case(fill(source, method, count=3), tmp_path / "imputed")
    imputed = read_case(tmp_path / "imputed")
    assert_acquired_untouched(imputed, source, axis=2, step=4)
    assert imputed.image.slope_intercept == (0.5, -10.0)
    assert verify_imputed_case(imputed, source) == []


@pytest.mark.parametrize("method", ["cubic", "slice_imputation"])
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<u4", "<f8"])
def test_numbers_that_single_precision_cannot_hold_survive(volume, fill, method, dtype):
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        stored = rng.uniform(-1e30, 1e30, (9, 9, 4)).astype(kind)
    else:
        limits = np.iinfo(kind)
        stored = rng.integers(limits.min, limits.max, (9, 9, 4), endpoint=True).astype(kind)
        stored[0, :2, 0], stored[0, :2, 1] = (limits.max, limits.min), (limits.max, limits.min)
    source = Case(volume(stored))
    imputed = fill(source, method, count=2)
    assert verify_imputed_case(imputed, source) == []
    if kind.kind != "f":  # a synthetic number between two equal ones at the limit is that limit
        assert imputed.image.stored[0, :2, 1].tolist() == [limits.max, limits.min]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_any_axis_any_orientation_any_channels(case, fill, tmp_path, axis, channels):
    source = turned(case(shape=(12, 10, 4, *channels)), axis)
    write_case(fill(source, "slice_imputation", count=3), tmp_path / "imputed")
    imputed = read_case(tmp_path / "imputed")
    assert imputed.record["axis"] == axis
    assert imputed.image.stored.shape[axis] == 13
    assert imputed.image.stored.shape[3:] == channels
    assert_acquired_untouched(imputed, source, axis, step=4)
    assert verify_imputed_case(imputed, source) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (0, 1)])
def test_two_libraries_see_every_acquired_slice_where_it_was(case, fill, tmp_path, axis, codes):
    source = turned(case(codes=codes), axis)
    for name, one in (("source", source), ("imputed", fill(source, count=3))):
        write_case(one, tmp_path / name)
    files = [tmp_path / name / "image.nii.gz" for name in ("source", "imputed")]
    by_nibabel = [nib.load(file) for file in files]
    by_itk = [SimpleITK.ReadImage(str(file)) for file in files]
    size = source.image.stored.shape
    for corner in np.ndindex(2, 2, 2):
        before = np.array(corner) * (np.array(size) - 1)
        after = before.copy()
        after[axis] *= 4
        places = [
            nib.affines.apply_affine(image.affine, index)
            for image, index in zip(by_nibabel, (before, after), strict=True)
        ]
        np.testing.assert_allclose(places[1], places[0], atol=1e-3)
        for image, index, place in zip(by_itk, (before, after), places, strict=True):
            seen = image.TransformIndexToPhysicalPoint(index.tolist())
            np.testing.assert_allclose(seen * np.array([-1, -1, 1]), place, atol=1e-3)
    before, after = (nib.aff2axcodes(image.affine) for image in by_nibabel)
    assert before == after
    assert by_nibabel[1].header.get_zooms()[axis] == pytest.approx(1.0)


def test_linear_imputation_of_a_ramp_is_the_ramp(volume, fill):
    """Slices of 0, 40, 80 with three between: 0, 10, 20, … 80."""
    stored = np.broadcast_to(np.array([0, 40, 80], np.int16), (3, 4, 3))
    stored = stored + np.zeros((3, 4, 1), np.int16)
    imputed = fill(Case(volume(stored)), count=3)
    assert imputed.image.stored[1, 2].tolist() == list(range(0, 81, 10))


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ({"count": 0}, 0),
        ({"count": 2}, 2),
        ({"count": "N_A"}, 4),  # 4 mm over (0.7 + 0.8) / 2 mm is 5.33: 5 steps
        ({"count": None, "target_spacing": 1.0}, 3),
        ({"count": None, "target_spacing": 1.5}, 2),  # 2.67 steps: 3
        ({"count": None, "target_spacing": 9.0}, 0),
    ],
)
def test_the_number_of_slices_follows_the_rule(case, fill, rule, count):
    source = case()
    imputed = fill(source, **rule)
    assert imputed.record["count"] == count
    assert imputed.image.stored.shape == (12, 10, 3 * (count + 1) + 1)
    assert imputed.image.spacing[2] == pytest.approx(4 / (count + 1))
    assert imputed.record["slice_spacing_mm"] == pytest.approx(4 / (count + 1))
    assert verify_imputed_case(imputed, source) == []


def test_without_intervals_to_impute_a_case_stays_as_it_is(case, fill):
    source = case()
    for method in ("linear", "slice_imputation"):
        imputed = fill(source, method, count=0)
        assert imputed.image.stored.tobytes() == source.image.stored.tobytes()
        np.testing.assert_array_equal(imputed.image.affine, source.image.affine)


def test_no_new_label_appears_and_without_a_label_there_is_none(case, fill):
    for method in ("shape_based", "shape_matched", "slice_imputation"):
        assert set(np.unique(fill(case(), method).label.stored)) <= {0, 2, 5}
        assert fill(replace(case(), label=None), method).label is None


def test_the_mask_marks_synthetic_slices_and_confidence_is_full_on_acquired_ones(case, fill):
    for method in ("linear", "slice_imputation"):
        imputed = fill(case(shape=(12, 10, 4, 2)), method, count=1)
        mask, confidence = imputed.maps["synthetic_mask"], imputed.maps["confidence"]
        assert mask.stored.shape == confidence.stored.shape == (12, 10, 7)
        np.testing.assert_array_equal(mask.stored, [[[0, 1, 0, 1, 0, 1, 0]] * 10] * 12)
        values = confidence.intensities()
        assert (values[..., ::2] == 1).all()
        assert values.min() >= 0
        assert values[..., 1::2].min() < 0.9 < values[..., 1::2].max() <= 1
        np.testing.assert_array_equal(confidence.affine, imputed.image.affine)


def test_identical_neighbours_are_trusted_fully(volume, fill):
    stored = np.random.default_rng(0).integers(0, 99, (6, 6, 1)).repeat(3, axis=2)
    imputed = fill(Case(volume(stored.astype(np.int16))), count=2)
    assert (imputed.maps["confidence"].intensities() == 1).all()


def test_the_record_says_where_every_slice_comes_from(case, fill, tmp_path):
    source = case()
    write_case(fill(source, "slice_imputation", count=1), tmp_path / "imputed")
    record = read_case(tmp_path / "imputed").record
    assert [record["slices"][k] for k in (0, 2)] == [
        {"index": 0, "acquired": 0},
        {"index": 2, "acquired": 1},
    ]
    synthetic = dict(record["slices"][1])
    confidence = read_case(tmp_path / "imputed").maps["confidence"].intensities()[..., 1]
    assert synthetic.pop("confidence") == pytest.approx(confidence.mean(), abs=1e-3)
    assert synthetic == {"index": 1, "between": [0, 1], "t": 0.5}
    assert (record["confidence"], record["abstained"]) == ("agreement", None)
    assert [one["index"] for one in record["slices"]] == list(range(7))
    assert (record["axis"], record["count"], record["method"]) == (2, 1, "slice_imputation")
    assert len(record["model_sha256"]) == 64
    assert set(record["versions"]) >= {"slicefill", "torch", "numpy"}
    assert record["source"] == source.record
    assert record["parameters"]["label_field"] in ("one_hot", "signed_distance", "shape_and_motion")
    assert record["parameters"]["hardware"]["precision"] == "auto"
    low, high = np.percentile(source.image.stored, [0.5, 99.5])
    np.testing.assert_allclose(record["window_shown"], [[low, high]], rtol=1e-6)


def test_a_classical_method_names_no_model(case, fill):
    assert fill(case(), "cubic").record["model_sha256"] is None


def test_the_input_is_not_modified(case, fill):
    source, untouched = case(), case()
    fill(source, "slice_imputation")
    np.testing.assert_array_equal(source.image.stored, untouched.image.stored)
    np.testing.assert_array_equal(source.image.affine, untouched.image.affine)
    assert source.image.stored.shape == source.image.header.get_data_shape()


def test_the_mark_tells_models_methods_and_windows_apart(checkpoint, imputation_params):
    other = {**checkpoint, "weights": {k: v + 1 for k, v in checkpoint["weights"].items()}}
    params = imputation_params()
    window = imputation_params(window={"kind": "fixed", "low": 0, "high": 9})
    marks = [
        learned_imputer("slice_imputation", checkpoint, params).fingerprint,
        learned_imputer("slice_imputation", other, params).fingerprint,
        learned_imputer("iia", checkpoint, params).fingerprint,
        classical_imputer("linear", params).fingerprint,
        classical_imputer("linear", window).fingerprint,
    ]
    assert len(set(marks)) == len(marks)
    assert learned_imputer("slice_imputation", dict(checkpoint), params).fingerprint == marks[0]


def test_a_single_slice_has_no_interval(case, fill):
    with pytest.raises(ValueError, match="no interval to impute"):
        fill(case(shape=(12, 10, 1)))


@pytest.fixture(scope="module")
def super_resolve(imputation_params):
    """Impute a case by an untrained EDSR; by default for ×3 and one channel."""

    def impute_one(case, factor=3, channels=1, **changes):
        torch.manual_seed(0)
        shape = NetworkParams(kind="edsr", width=4, blocks=1, groups=1, residual_scale=1)
        checkpoint = {
            "kind": "super_resolution",
            "weights": build_generator(shape, channels, factor).state_dict(),
            "network": shape.model_dump(),
            "window": {"kind": "percentile", "low": 0, "high": 100},
            "channels": channels,
            "factor": factor,
        }
        params = imputation_params(**{"through_plane": "auto", "count": factor - 1, **changes})
        return impute_case(case, learned_imputer("edsr", checkpoint, params), params)

    return impute_one


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_super_resolution_keeps_geometry_but_not_acquired_slices_and_says_so(
    case, super_resolve, axis, channels
):
    source = replace(turned(case(shape=(12, 10, 4, *channels)), axis), label=None)
    imputed = super_resolve(source, channels=max(1, sum(channels)))
    assert imputed.record["acquired_slices"] == "replaced"
    assert len(imputed.record["model_sha256"]) == 64
    differences = verify_imputed_case(imputed, source)
    assert len(differences) == 4  # of geometry, dtype, mask and maps there is none
    assert all("acquired slice" in text for text in differences)


@pytest.mark.parametrize("dtype", DTYPES)
def test_acquired_slices_can_be_put_back_and_the_others_stay(case, super_resolve, dtype):
    source = replace(case(dtype, scale=(0.5, -10.0)), label=None)
    replaced, restored = (super_resolve(source, restore_acquired=put) for put in (False, True))
    assert restored.record["acquired_slices"] == "kept"
    assert verify_imputed_case(restored, source) == []
    for one in (replaced, restored):
        assert one.image.stored.dtype.str == np.dtype(dtype).str
        assert one.image.slope_intercept == (0.5, -10.0)
    synthetic = np.arange(10) % 3 > 0
    np.testing.assert_array_equal(
        restored.image.stored[..., synthetic], replaced.image.stored[..., synthetic]
    )


def test_super_resolution_imputes_no_label(case, super_resolve):
    for put_back in (False, True):
        assert super_resolve(case(), restore_acquired=put_back).label is None


def test_other_methods_keep_acquired_slices_whether_or_not_they_are_put_back(case, fill):
    for method in ("linear", "slice_imputation"):
        for put_back in (False, True):
            imputed = fill(case(), method, restore_acquired=put_back)
            assert imputed.record["acquired_slices"] == "kept"
            assert verify_imputed_case(imputed, case()) == []


def test_super_resolution_at_another_factor_or_of_other_channels_is_refused(case, super_resolve):
    with pytest.raises(
        ValueError, match=r"trained for ×3: .*set the count of synthetic slices to 2"
    ):
        super_resolve(case(), count=3)
    with pytest.raises(ValueError, match="the model takes 1 channels, the image has 2"):
        super_resolve(case(shape=(12, 10, 4, 2)))


# --- calibrated confidence ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated(checkpoint):
    """The model, of which 0.3 of error is expected everywhere, and of linear interpolation 0.1."""
    maps = {
        name: {"weights": {"apart": 1.0}, "scores": [0.0, 1.0], "errors": [error, error]}
        for name, error in {"model": 0.3, "linear": 0.1, "cubic": 0.2}.items()
    }
    confidence = {"smoothing": 0, "factors": [2], "with_cycle": maps, "without_cycle": maps}
    window = {"kind": "fixed", "low": -1000, "high": 1000}  # shows what a spline overshoots, too
    return {
        **checkpoint,
        "window": window,
        "confidence": confidence,
    }


def test_the_record_of_a_calibrated_model_says_what_is_expected_and_who_was_believed(
    case, calibrated, imputation_params
):
    imputed = {}
    for threshold in (0.0, 0.9):
        confidence = {"cycle": False, "threshold": threshold, "margin": 1.0}
        params = imputation_params(through_plane="auto", count=1, confidence=confidence)
        imputed[threshold] = impute_case(case(), learned_imputer("x", calibrated, params), params)
    never, always = imputed[0.0].record, imputed[0.9].record
    assert never["confidence"] == always["confidence"] == "expected_error"
    assert (never["abstained"], always["abstained"]) == (0.0, 1.0)
    assert never["slices"][1]["confidence"] == pytest.approx(0.7)
    assert always["slices"][1]["confidence"] == pytest.approx(0.9)
    assert imputed[0.9].maps["confidence"].intensities()[0, 0].tolist() == pytest.approx(
        [1, 0.9] * 3 + [1]
    )
    assert verify_imputed_case(imputed[0.9], case()) == []


def test_what_confidence_does_is_part_of_the_mark_of_calibrated_models_alone(
    checkpoint, calibrated, imputation_params
):
    def mark(checkpoint, threshold):
        confidence = {"cycle": False, "threshold": threshold, "margin": 1.0}
        return learned_imputer(
            "x", checkpoint, imputation_params(confidence=confidence)
        ).fingerprint

    assert mark(checkpoint, 0.5) == mark(checkpoint, 0.9)
    assert len({mark(calibrated, 0.5), mark(calibrated, 0.9), mark(checkpoint, 0.9)}) == 3
