import pytest

from slicefill.tuning.folds import gather_folds, make_folds


def test_a_subject_is_on_one_side_and_test_subjects_on_none(cases, splits):
    subject = dict(zip(splits["case"], splits["subject"], strict=True))
    folds = make_folds(cases, splits)
    assert [sorted(fold.held_out) for fold in folds] == [["a"], ["b", "c"]]
    for fold in folds:
        sides = [{subject[case] for case in side} for side in (fold.training, fold.held_out)]
        assert not sides[0] & sides[1]
        assert "t" not in sides[0] | sides[1]


def test_a_fold_of_test_subjects_alone_is_left_out(cases, splits):
    alone = splits.assign(fold=[0, 1, 1, 2])
    assert len(make_folds(cases, alone)) == 2


def test_one_fold_is_refused_with_what_to_do(cases, splits):
    with pytest.raises(ValueError, match=r"got 1.*ingestion\.split\.folds"):
        make_folds(cases, splits.assign(fold=0))


def test_all_folds_draw_from_one_cache_and_are_scored_on_their_own(cases, splits, params):
    folds = make_folds(cases, splits)
    training_sets = gather_folds(folds, params, None)
    assert training_sets[0].cache is training_sets[1].cache is training_sets[0].held_out
    for fold, material in zip(folds, training_sets, strict=True):
        assert set(material.summaries) == set(fold.training)
        assert {group.case for group in material.scored} == set(fold.held_out)
