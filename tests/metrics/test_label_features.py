"""Shape features of labels as a set: real against real below real against linear."""

import numpy as np
import pytest

from slicefill.metrics import DescribedSet
from slicefill.metrics.label_features import METRICS, describe_labels
from slicefill.metrics.overlap import MaskPair

METRIC = METRICS[0]


def box(size, offset=0):
    mask = np.zeros((20, 20, 20), bool)
    mask[2 : 2 + size, 4:10, 4 + offset : 10 + offset] = True
    return mask


def labels(prediction, truth):
    judged = np.ones(20, bool)
    return {
        name: MaskPair(prediction[n], truth[n], np.array([2.0, 1.0, 1.0]), judged)
        for n, name in enumerate(("one", "other"))
    }


def test_features_of_a_box():
    made, real = describe_labels(labels([box(6), box(6, 6)], [box(12), box(12, 6)]))
    assert real.shape == (2, 7)
    assert np.exp(real[0, 0]) == pytest.approx(12 * 36 * 2)
    assert np.exp(real[0, 1]) == pytest.approx(2 * 36 + 4 * 12 * 6 * 2)
    assert real[0, 3:6] == pytest.approx([0, 0, -3])
    assert real[0, 6] == pytest.approx(12 * 6 * 2 / (2 * 36 + 4 * 12 * 6 * 2))  # one side of four
    assert real[0, 2] > made[0, 2] > 1
    absent, _ = describe_labels(labels([box(0), box(6)], [box(6), box(6, 6)]))
    assert np.isnan(absent[0]).all()


def described(share, cases=24, absent=()):
    rng = np.random.default_rng(0)
    sizes = rng.integers(10, 14, cases)
    return DescribedSet(
        {
            str(case): [
                describe_labels(
                    labels(
                        [
                            box(0 if n in absent else int(size * share), offset)
                            for n, offset in enumerate((0, 6))
                        ],
                        [box(size), box(size, 6)],
                    )
                )
            ]
            for case, size in enumerate(sizes)
        }
    )


def test_shrunk_labels_are_told_from_real_ones():
    shrunk = described(0.75)
    control = METRIC.control(shrunk)
    observed = METRIC.compute(shrunk)
    assert METRIC.compute(control) < observed
    rows = [one for (one,) in shrunk.cases.values()]
    rng, chance = np.random.default_rng(1), []
    for _ in range(99):  # permutation of real and made within every case
        swapped = [one[rng.permutation(2)] for one in rows]
        chance.append(METRIC.compute(DescribedSet({str(n): [o] for n, o in enumerate(swapped)})))
    assert np.mean(np.array(chance) >= observed) < 0.05
    assert np.isnan(METRIC.compute(described(1.0, 3)))


def test_a_lost_label_is_worse_than_a_shrunk_one():
    lost, all_lost = described(1.0, absent=(1,)), described(1.0, absent=(0, 1))
    assert METRIC.compute(described(0.75)) < METRIC.compute(lost) < METRIC.compute(all_lost)
    assert METRIC.compute(described(1.0)) < METRIC.compute(described(0.75))


def test_subjects_without_labels_count_for_nothing():
    shrunk = described(0.75, cases=8)
    some = {f"0{n}": [] for n in range(5)} | dict(shrunk.cases)
    assert METRIC.compute(DescribedSet(some)) == METRIC.compute(shrunk)
    few = {
        who: own if n % 2 else [] for n, (who, own) in enumerate(described(0.75, 6).cases.items())
    }
    assert np.isnan(METRIC.compute(DescribedSet(few)))
