import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicefill.ingestion.splits import SPLITS, largest_remainder, split_cases
from slicefill.params import SplitParams

subjects = st.lists(
    st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40
)  # (cases, labelled) per subject


def settings(**changes):
    values = {"file": None, "train": 0.6, "validation": 0.2, "test": 0.2, "folds": 5}
    return SplitParams(**{**values, "stratify": True, "seed": 3, **changes})


def manifest_of(people):
    rows = [
        {
            "case": f"c{subject}_{index}",
            "subject": str(subject),
            "label": "l.nii" if labelled else "",
        }
        for subject, (cases, labelled) in enumerate(people)
        for index in range(cases)
    ]
    return pd.DataFrame(rows)


@given(subjects, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_rows_does_not_matter(people, random, stratify):
    manifest = manifest_of(people)
    order = list(range(len(manifest)))
    random.shuffle(order)
    params = settings(stratify=stratify)
    pd.testing.assert_frame_equal(
        split_cases(manifest, params), split_cases(manifest.iloc[order], params)
    )


@given(subjects, st.booleans())
def test_a_subject_is_in_one_split_and_one_fold(people, stratify):
    manifest = manifest_of(people)
    split = split_cases(manifest, settings(stratify=stratify))
    assert list(split.columns) == ["case", "subject", "split", "fold"]
    assert sorted(split["case"]) == sorted(manifest["case"])
    assert (split.groupby("subject")[["split", "fold"]].nunique() == 1).all(axis=None)
    assert set(split["split"]) <= set(SPLITS)


@given(subjects, st.booleans())
def test_sizes_are_the_largest_remainders_and_folds_are_even(people, stratify):
    split = split_cases(manifest_of(people), settings(stratify=stratify))
    first = split.drop_duplicates("subject")
    sizes = [int((first["split"] == name).sum()) for name in SPLITS]
    assert sizes == largest_remainder(len(people), (0.6, 0.2, 0.2))
    folds = first["fold"].value_counts().reindex(range(5), fill_value=0)
    assert folds.max() - folds.min() <= 1


@given(subjects)
def test_every_split_and_fold_has_its_share_of_labelled_subjects(people):
    manifest = manifest_of(people)
    split = split_cases(manifest, settings()).merge(manifest[["case", "label"]], on="case")
    first = split.drop_duplicates("subject")
    rate = (first["label"] != "").mean()
    for column in ("split", "fold"):
        for _, group in first.groupby(column):
            assert abs((group["label"] != "").sum() - rate * len(group)) <= 2


def test_strata_of_unlike_size_are_spread_evenly():
    manifest = manifest_of([(1, True)] * 10 + [(1, False)] * 40)
    split = split_cases(manifest, settings()).merge(manifest[["case", "label"]], on="case")
    labelled = split[split["label"] != ""]
    assert labelled["split"].value_counts().to_dict() == {"train": 6, "validation": 2, "test": 2}
    assert labelled["fold"].value_counts().tolist() == [2] * 5


@given(st.integers(0, 500), st.floats(0, 1), st.floats(0, 1))
def test_sizes_add_up_and_are_within_one_of_the_quota(count, one, two):
    low, high = sorted((one, two))
    fractions = (low, high - low, 1 - high)
    sizes = largest_remainder(count, fractions)
    assert sum(sizes) == count
    assert all(
        abs(size - count * part) < 1 + 1e-6 for size, part in zip(sizes, fractions, strict=True)
    )


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (10, (0.66, 0.17, 0.17), [6, 2, 2]),  # quotas 6.6, 1.7, 1.7
        (7, (0.6, 0.2, 0.2), [4, 2, 1]),  # 4.2, 1.4, 1.4: of equal remainders the first
        (5, (0.25, 0.5, 0.25), [1, 3, 1]),  # 1.25, 2.5, 1.25
        (3, (0.5, 0.0, 0.5), [2, 0, 1]),
        (10, (0.35, 0.3, 0.35), [4, 3, 3]),  # 3.5, 3, 3.5
        (25, (0.1, 0.58, 0.32), [3, 14, 8]),  # 2.5, 14.5, 8.0
        (6, (0.1, 0.3, 0.6), [1, 2, 3]),  # 0.6, 1.8, 3.6
        (4, (0.15, 0.2, 0.65), [1, 1, 2]),  # 0.6, 0.8, 2.6; 2.6 - 2 is larger than 0.6 in floats
        (100, (0.58, 0.42), [58, 42]),  # 100 * 0.58 is below 58 in floats
        (50, (0.29, 0.42, 0.29), [15, 21, 14]),  # 14.5, 21, 14.5
    ],
)
def test_what_is_left_goes_to_the_largest_remainders(count, fractions, sizes):
    assert largest_remainder(count, fractions) == sizes


def test_of_many_equal_remainders_the_first_are_rounded_up():
    assert largest_remainder(20, (1 / 40,) * 40) == [1] * 20 + [0] * 20


@given(st.integers(0, 500), st.lists(st.integers(1, 100), min_size=2, max_size=6))
def test_no_part_is_rounded_up_before_one_with_a_larger_remainder(count, weights):
    """In whole numbers, so that no rounding of floats hides a wrong order."""
    total = sum(weights)
    sizes = largest_remainder(count, tuple(weight / total for weight in weights))
    rests = [count * weight % total for weight in weights]
    up = [size - count * weight // total for size, weight in zip(sizes, weights, strict=True)]
    assert set(up) <= {0, 1}
    places = sorted(range(len(weights)), key=lambda part: (-rests[part], part))
    assert [up[part] for part in places] == sorted(up, reverse=True)


def test_another_seed_gives_another_split():
    manifest = manifest_of([(1, True)] * 30)
    one, other = (split_cases(manifest, settings(seed=seed)) for seed in (1, 2))
    assert (one["split"] != other["split"]).any()
    assert (one["fold"] != other["fold"]).any()


def test_labels_read_back_from_csv_may_be_missing_values():
    manifest = manifest_of([(1, True), (1, False)] * 5)
    empty = manifest.assign(label=manifest["label"].replace("", None))
    pd.testing.assert_frame_equal(split_cases(manifest, settings()), split_cases(empty, settings()))


def test_an_empty_manifest_gives_an_empty_split():
    empty = pd.DataFrame(columns=["case", "subject", "label"], dtype=object)
    assert list(split_cases(empty, settings()).columns) == ["case", "subject", "split", "fold"]


# --- from a file ------------------------------------------------------------------------------

TWO = [(2, True), (1, False)]  # c0_0 and c0_1 are one subject, c1_0 another


@pytest.fixture
def from_file(tmp_path):
    def split(text, people=TWO):
        (tmp_path / "split.csv").write_text(text)
        return split_cases(manifest_of(people), settings(file=str(tmp_path / "split.csv")))

    return split


def test_a_file_says_the_split_and_the_fold(from_file):
    split = from_file("case,split,fold\nc1_0,test,4\nc0_1,train,0\nc0_0,train,0\n")
    assert split["split"].tolist() == ["train", "train", "test"]
    assert split["fold"].tolist() == [0, 0, 4]


def test_folds_are_seeded_where_the_file_has_none(from_file):
    split = from_file("case,split\nc1_0,test\nc0_1,train\nc0_0,train\n")
    expected = split_cases(manifest_of(TWO), settings())
    assert split["fold"].tolist() == expected["fold"].tolist()


def test_ids_that_look_like_numbers_stay_what_they_are(tmp_path):
    (tmp_path / "split.csv").write_text("case,split\n001,test\n")
    manifest = pd.DataFrame({"case": ["001"], "subject": ["001"], "label": [""]})
    split = split_cases(manifest, settings(file=str(tmp_path / "split.csv")))
    assert split["split"].tolist() == ["test"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("case,set\nc1_0,test\n", "expected columns case, split"),
        ("case,split\nc0_0,train\nc0_1,train\n", "lacks c1_0"),
        ("case,split\nc0_0,train\nc0_1,train\nc1_0,test\nx,test\n", "unknown or refused cases x"),
        ("case,split\nc0_0,train\nc0_0,train\nc0_1,train\nc1_0,test\n", "lists twice c0_0"),
        ("case,split\nc0_0,train\nc0_1,train\nc1_0,val\n", "splits other than .*: val"),
        ("case,split\nc0_0,train\nc0_1,train\nc1_0,\n", "splits other than"),
        ("case,split\nc0_0,train\nc0_1,test\nc1_0,test\n", "split divides subjects 0"),
        ("case,split,fold\nc0_0,test,0\nc0_1,test,1\nc1_0,test,1\n", "fold divides subjects 0"),
        ("case,split,fold\nc0_0,test,0\nc0_1,test,0\nc1_0,test,5\n", "from 0 to 4"),
        ("case,split,fold\nc0_0,test,0\nc0_1,test,0\nc1_0,test,\n", "from 0 to 4"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(from_file, text, fault):
    with pytest.raises(ValueError, match=fault):
        from_file(text)
