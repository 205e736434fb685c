import numpy as np
import pytest

from slicefill.pipelines.anisotropization import subsample_cases
from slicefill.types import Promise


def unkept():
    pytest.fail("a promise was kept before its case was saved")


def test_nothing_is_computed_before_a_promise_is_kept(subsampling):
    acquired_case = subsample_cases(
        {"a": Promise(unkept, "1"), "b": Promise(unkept, "2")}, subsampling()
    )
    assert list(acquired_case) == ["a", "b"]


def test_every_second_slice_is_kept(case, subsampling):
    source = case(shape=(4, 4, 7))
    acquired_case = subsample_cases({"a": Promise(lambda: source, "1")}, subsampling(factor=2))[
        "a"
    ].make()
    np.testing.assert_array_equal(
        acquired_case.image.stored, source.image.stored[..., [0, 2, 4, 6]]
    )
    assert acquired_case.record["removed"] == [1, 3, 5]


def test_the_mark_follows_case_and_parameters(subsampling):
    def mark(fingerprint, **changes):
        cases = {"a": Promise(unkept, fingerprint)}
        return subsample_cases(cases, subsampling(**changes))["a"].fingerprint

    assert mark("1") == mark("1")
    others = [mark("2"), mark("1", factor=3), mark("1", axis="L")]
    others.append(mark("1", profile="box", fwhm=4.0))
    assert len({mark("1"), *others}) == 5
