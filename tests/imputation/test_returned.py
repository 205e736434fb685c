"""What a method returns is written only if it fits the stack."""

from dataclasses import replace

import numpy as np
import pytest

from slicefill.imputation.imputers import load_named
from slicefill.imputation.returned import checked
from slicefill.params import ImputationParams
from slicefill.types import Stack, SyntheticSlices

RNG = np.random.default_rng(0)
POSITIONS = [0.25, 0.5, 0.75]


def stack(channels=1):
    image = RNG.normal(100, 20, (5, channels, 6, 7)).astype(np.float32)
    return Stack(image, np.array([[0.0, 200.0]] * channels), RNG.integers(0, 3, (5, 6, 7)))


def impute(seen, positions, rng):
    shape = (len(seen.image) - 1, len(positions))
    image = np.full((*shape, *seen.image.shape[1:]), 90.0, np.float32)
    label = np.ones((*shape, *seen.image.shape[2:]), np.uint8)
    return SyntheticSlices(image, np.ones(label.shape, np.float32), label)


def spoiled(values, place, value):
    made = values.copy()
    made[place] = value
    return made


@pytest.mark.parametrize("channels", [1, 2])
def test_what_fits_is_returned_as_it_is(channels):
    seen = stack(channels)
    plain = impute(seen, POSITIONS, RNG)
    made = checked(lambda *_: plain, "m")(seen, POSITIONS, RNG)
    assert made is plain
    whole = replace(
        plain, samples=[plain.image], sample_labels=[plain.label], spread=plain.confidence
    )
    whole = replace(whole, acquired=seen.image)
    assert checked(lambda *_: whole, "m")(seen, POSITIONS, RNG) is whole


@pytest.mark.parametrize(
    ("field", "change", "told"),
    [
        ("image", lambda image: image[:, :-1], r"\(4, 3, 1, 6, 7\), got \(4, 2, 1, 6, 7\)"),
        ("image", lambda image: image[..., :1, :1], "expected the shape"),
        ("image", lambda image: spoiled(image, (1, 2), np.nan), "expected finite numbers, got 42"),
        ("image", lambda image: spoiled(image, (0, 0, 0, 0, 0), np.inf), "got 1 that are not"),
        ("image", lambda image: image.astype(np.uint8), "expected floating-point.*uint8"),
        ("image", lambda image: None, "got NoneType"),
        ("confidence", lambda share: share * 100, "from -0.001 to 1.001, got 100 to 100"),
        ("confidence", lambda share: share * np.nan, "expected finite numbers"),
        ("label", lambda label: label + 0.4, "expected whole ids, got float64"),
        ("label", lambda label: label.astype(int) - 300, "from 0 to 2, got -299"),
        ("label", lambda label: label[..., :1], "expected the shape"),
        ("spread", lambda _: np.zeros((4, 3, 6, 6), np.float32), r"spread: .*\(4, 3, 6, 7\)"),
        ("samples", lambda _: [np.zeros((4, 2, 1, 6, 7), np.float32)], r"samples\[0\]: "),
        ("sample_labels", lambda _: [np.full((4, 3, 6, 7), 3)], r"sample_labels\[0\]: .*to 2"),
        ("acquired", lambda _: np.zeros((4, 1, 6, 7), np.float32), r"acquired: .*\(5, 1, 6, 7\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_method_and_the_field(field, change, told):
    seen = stack()
    plain = impute(seen, POSITIONS, RNG)
    wrong = replace(plain, **{field: change(getattr(plain, field))})
    with pytest.raises(ValueError, match=f"method mine: .*{told}"):
        checked(lambda *_: wrong, "method mine")(seen, POSITIONS, RNG)


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="mine: expected SyntheticSlices, got NoneType"):
        checked(lambda *_: None, "mine")(stack(), POSITIONS, RNG)


def test_large_but_finite_intensities_fit():
    seen = stack()
    plain = impute(seen, POSITIONS, RNG)
    large = replace(plain, image=np.full_like(plain.image, 3e38))
    assert checked(lambda *_: large, "m")(seen, POSITIONS, RNG) is large


def test_methods_that_are_loaded_are_checked(monkeypatch):
    from slicefill.imputation.methods import dis

    params = ImputationParams(window={"kind": "fixed", "low": 0, "high": 200})
    monkeypatch.setattr(dis, "load", lambda *_: lambda *_: None)
    with pytest.raises(TypeError, match=r"method dis \(kind dis\): expected SyntheticSlices"):
        load_named("dis", params).method(stack(), POSITIONS, RNG)


def test_a_method_whose_file_was_edited_imputes_anew(monkeypatch):
    from slicefill.imputation import imputers

    params = ImputationParams(window={"kind": "fixed", "low": 0, "high": 200})
    before, same = (load_named("dis", params).fingerprint for _ in range(2))
    monkeypatch.setattr(imputers, "getsource", lambda module: "edited")
    assert before == same != load_named("dis", params).fingerprint


def test_slices_of_uneven_intervals_are_as_many_as_their_counts_say():
    def rows(number):
        shape = (number, 1, 6, 7)
        image, ones = np.full((number, 1, *shape[1:]), 90.0, np.float32), np.ones(shape, np.uint8)
        return SyntheticSlices(image, ones.astype(np.float32), ones, counts=np.array([3, 0, 1, 2]))

    whole = rows(6)
    assert checked(lambda *_: whole, "m")(stack(), POSITIONS, RNG) is whole
    with pytest.raises(ValueError, match=r"shape \(6, 1, 1, 6, 7\), got \(5, 1, 1, 6, 7\)"):
        checked(lambda *_: rows(5), "m")(stack(), POSITIONS, RNG)
