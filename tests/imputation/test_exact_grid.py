from dataclasses import replace

import numpy as np
import pytest

from slicefill.api import impute, verify
from slicefill.geometry import slices_first
from slicefill.imputation import impute as impute_module
from slicefill.imputation.choice import Choice
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.imputation.verification import verify_imputed_case, with_grid
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Case, SyntheticSlices


def params(target, **changes):
    values = {"count": None, "target_spacing": target, "exact": True, **changes}
    return ImputationParams(hardware={"accelerator": "cpu"}, **values)


def fill(case, target, method="linear", **changes):
    rule = params(target, **changes)
    return impute_case(case, classical_imputer(method, rule), rule)


def ramp(volume, spacing, depth=9, way=1, axis=2):
    """Intensity 100 × the position in mm, along any array axis, in either direction."""
    heights = np.arange(depth) * spacing * 100
    stored = np.moveaxis(np.zeros((6, 5, depth)) + heights, 2, axis).astype(np.float32)
    pitches = np.full(3, 0.5)
    pitches[axis] = way * spacing
    return Case(volume(stored, np.diag([*pitches, 1.0])))


@pytest.mark.parametrize("method", ["linear", "cubic", "shape_based"])
@pytest.mark.parametrize(("spacing", "target"), [(3.3, 1.0), (5.0, 1.0), (2.5, 1.0), (0.9, 1.0)])
@pytest.mark.parametrize(("way", "axis"), [(1, 2), (-1, 2), (1, 0), (-1, 1)])
def test_a_ramp_stays_a_ramp(volume, method, spacing, target, way, axis):
    source = ramp(volume, spacing, way=way, axis=axis)
    made = fill(source, target, method)
    values = slices_first(made.image.stored, axis)[:, 2, 3]
    np.testing.assert_allclose(values, 100 * target * np.arange(len(values)), rtol=1e-4, atol=0.1)
    assert made.image.spacing[axis] == pytest.approx(target, abs=1e-6)
    assert (len(values) - 1) * target <= 8 * spacing + 1e-3 < len(values) * target + 1e-3
    assert verify_imputed_case(made, source) == []


def test_acquired_slices_that_fall_on_the_grid_are_kept_and_the_record_says_which(case):
    source = case("f8", shape=(12, 10, 6))  # 4 mm: 0, 12 = 8 × 1.5, …
    made = fill(source, 1.5)
    kept = {one["index"]: one["acquired"] for one in made.record["slices"] if "acquired" in one}
    assert kept == {0: 0, 8: 3}
    for index, acquired in kept.items():
        before, after = source.image.stored[..., acquired], made.image.stored[..., index]
        assert after.tobytes() == before.tobytes()
    second = made.record["slices"][1]
    assert (second["between"], second["t"]) == ([0, 1], pytest.approx(0.375))
    assert made.record["count"] is None
    assert made.record["parameters"]["target_spacing"] == 1.5
    mask = made.maps["synthetic_mask"].stored[0, 0]
    assert np.flatnonzero(mask == 0).tolist() == [0, 8]
    assert verify_imputed_case(made, source) == []


def test_where_every_acquired_slice_falls_on_the_grid_it_is_the_grid_of_a_count(case):
    source = case()  # 4 mm
    for method in ("linear", "cubic", "shape_based"):
        exact, counted = fill(source, 1.0, method), fill(source, None, method, count=3, exact=False)
        for one, other in ((exact.image, counted.image), (exact.label, counted.label)):
            np.testing.assert_array_equal(one.stored, other.stored)
            np.testing.assert_allclose(one.affine, other.affine, atol=1e-6)
        assert exact.record["slices"] == counted.record["slices"]


def test_positions_that_differ_take_no_more_room_than_equal_ones(case, room):
    """Of 4 mm: at 1.5 mm each interval is imputed by itself, at 4 / 3 mm all by one call."""
    source = case(shape=(24, 20, 60))
    apart, alike = (room(lambda target=target: fill(source, target)) for target in (1.5, 4 / 3))
    assert apart < 1.2 * alike


def test_labels_confidence_and_samples_lie_on_the_exact_grid(case):
    rule = params(1.5)

    def drawn(stack, positions, rng):
        shape = (len(stack.image) - 1, len(positions), *stack.image.shape[1:])
        t = np.asarray(positions, np.float32)[:, None, None, None]
        image = np.broadcast_to(1000 * t, shape).astype(np.float32)
        label = np.full((*shape[:2], *shape[3:]), 2, np.uint8)
        confidence = np.broadcast_to(t[:, 0], label.shape).astype(np.float32)
        return SyntheticSlices(image, confidence, label, samples=[image + 1])

    imputer = replace(classical_imputer("linear", rule), method=drawn)
    made = impute_case(case(shape=(12, 10, 6)), imputer, rule)
    for index, one in enumerate(made.record["slices"]):
        if "acquired" not in one:
            # the stack of this case is in the order of the file
            assert made.image.stored[3, 3, index] == round(1000 * one["t"])
            assert made.maps["sample_1"].stored[3, 3, index] == round(1000 * one["t"] + 1)
            confidence = made.maps["confidence"].intensities()[3, 3, index]
            assert confidence == pytest.approx(one["t"], abs=1e-3)
            assert (made.label.stored[..., index] == 2).all()


def test_a_grid_of_the_acquired_slices_is_the_case(case):
    source = case(shape=(12, 10, 6))
    made = fill(source, 4.0)
    np.testing.assert_array_equal(made.image.stored, source.image.stored)
    assert not made.maps["synthetic_mask"].stored.any()


def test_samples_of_labels_that_only_some_intervals_have_are_left_out(case):
    """A method that knows the labels of some slices alone: each run of intervals is one call."""
    rule, calls = params(1.5), []

    def drawn(stack, positions, rng):
        shape = (len(stack.image) - 1, len(positions), *stack.image.shape[1:])
        image, label = np.zeros(shape, np.float32), np.zeros((*shape[:2], *shape[3:]), np.uint8)
        calls.append(len(calls))
        several = [label] if len(calls) == 1 else []
        return SyntheticSlices(image, label + 0.0, label, samples=[image], sample_labels=several)

    imputer = replace(classical_imputer("linear", rule), method=drawn)
    made = impute_case(case(shape=(12, 10, 6)), imputer, rule)
    assert len(calls) > 1
    assert "sample_1" in made.maps
    assert "sample_label_1" not in made.maps


def test_two_intervals_or_more_are_refused(case):
    with pytest.raises(BadCase, match=r"below 8 mm.* found 8 mm"):
        fill(case(), 8.0)


@pytest.mark.parametrize("fault", ["voxel", "record", "mask", "spacing"])
def test_verification_sees_a_fault_on_an_exact_grid(case, fault):
    source = case("f8", shape=(12, 10, 6))
    made = fill(source, 1.5)
    if fault == "voxel":
        made.image.stored[2, 2, 8] += 1
    elif fault == "mask":
        made.maps["synthetic_mask"].stored[2, 2, 8] = 1
    elif fault == "spacing":
        made = replace(made, record={**made.record, "slice_spacing_mm": 1.6})
    else:
        slices = [
            {"index": 0, "acquired": 0},
            *made.record["slices"][1:8],
            *made.record["slices"][9:],
        ]
        made = replace(made, record={**made.record, "slices": slices})
    assert verify_imputed_case(made, source)


def test_a_file_without_mask_is_verified_by_its_record(case):
    source = case("f8", shape=(12, 10, 6))
    made = fill(source, 1.5)
    assert verify_imputed_case(with_grid(replace(made, maps={}), source), source) == []


def test_python_callers_get_an_exact_grid_that_verifies(case):
    import nibabel as nib

    source = case("i2", shape=(12, 10, 6)).image
    image = nib.Nifti1Image(source.stored, source.affine)
    made = impute(image, method="linear", spacing=1.5, exact=True)
    assert made.header.get_zooms()[2] == pytest.approx(1.5)
    assert verify(made, image) == []


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_what_is_blended_in_lies_on_the_exact_grid_too(volume, monkeypatch, share):
    """A ramp stays one only where network and cubic are asked for the same places."""
    monkeypatch.setattr(impute_module, "choose", lambda *_: Choice(cubic=share))
    source, rule = ramp(volume, 3.3), params(1.0)
    imputer = replace(classical_imputer("linear", rule), kind="pretrained")
    made = impute_case(source, imputer, rule)
    values = made.image.stored[2, 3]
    np.testing.assert_allclose(values, 100 * np.arange(len(values)), rtol=1e-4, atol=0.1)
    assert made.record["choice"]["cubic"] == share
