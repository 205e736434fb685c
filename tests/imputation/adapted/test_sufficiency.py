"""Whether held-out slices can decide, by hand and against the test that decides."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.adapted.sufficiency import (
    least_groups,
    list_remedies,
    may_decide,
    too_few,
)


@pytest.fixture
def params(configuration):
    """Those of `conf/base`: a fifth is held out, p <= .01, at most 60 groups, a fourth of them
    through-plane.
    """
    return AdaptationParams(**configuration()["parameters"]["adaptation"])


@pytest.mark.parametrize("largest_p", [0.2, 0.05, 0.01, 0.001])
def test_with_the_least_number_of_groups_the_test_can_say_yes_and_with_one_less_it_cannot(
    largest_p,
):
    gains = np.random.default_rng(0).random(least_groups(largest_p))
    assert wilcoxon(gains, alternative="greater").pvalue <= largest_p
    assert wilcoxon(gains[:-1], alternative="greater").pvalue > largest_p


def test_a_kind_without_any_group_is_too_few():
    assert too_few({"in_plane": 9, "through_plane": 0}, 0.01) == {"through_plane": 0}
    assert too_few({"in_plane": 9}, 0.01) == {}


def test_the_smallest_change_that_is_enough_is_proposed(params):
    def count(tried):
        return {"through_plane": round(20 * tried.held_out) + 2}

    # 6 of 7 with a fifth, 8 with three tenths; p of 6 that are all better is .0156
    assert list_remedies(count, params) == ["adaptation.held_out=0.3", "adaptation.largest_p=0.02"]


def test_with_too_few_groups_scored_more_are(params):
    few = params.scoring(6)

    def count(tried):
        share = tried.optimisation.validation_groups / 4
        return {"through_plane": round(share), "in_plane": round(3 * share)}

    assert list_remedies(count, few) == ["adaptation.optimisation.validation_groups=28"]
    assert not too_few(count(few.scoring(28)), few.largest_p)
    assert too_few(count(few.scoring(25)), few.largest_p)


def test_where_nothing_would_do_nothing_is_proposed(params):
    assert list_remedies(lambda tried: {"through_plane": 1}, params) == []
    assert list_remedies(lambda tried: {}, params) == []


@pytest.mark.parametrize(
    ("depth", "scans", "subjects", "can"),
    [
        (45, 1, 1, True),  # nine slices are held out: seven groups
        (42, 1, 1, False),
        (20, 4, 3, True),  # four of every scan, two groups each: eight
        (20, 3, 3, False),
        (6, 1, 1, False),  # nothing can be held out
        (9, 5, 5, True),  # one subject of five: seven groups
        (8, 5, 5, False),
        (4, 50, 50, True),
    ],
)
def test_sizes_tell_whether_scans_could_decide(params, depth, scans, subjects, can):
    assert may_decide(depth, scans=scans, subjects=subjects, params=params) is can
