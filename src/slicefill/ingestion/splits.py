"""Splits into training, validation and test cases, and folds; a subject is never divided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from slicefill.params import SplitParams

T = TypeVar("T")
SPLITS = ("train", "validation", "test")


def by_split(cases: Mapping[str, T], splits: pd.DataFrame) -> dict[str, dict[str, T]]:
    """Divide cases into the parts that `split_cases` returned; a part may be empty.

    Args:
        cases: By id; those of the splits that are missing here, as after a failure, are left out.
        splits: With the columns case and split.
    """
    parts: dict[str, dict[str, T]] = {name: {} for name in SPLITS}
    for case, split in splits[["case", "split"]].itertuples(index=False):
        if case in cases:
            parts[split][case] = cases[case]
    return parts


def parts_to_learn(
    cases: Mapping[str, T], splits: pd.DataFrame, whose: str, remedy: str
) -> dict[str, dict[str, T]]:
    """Divide cases as `by_split`, and require some to learn from and some to choose by.

    Args:
        cases: By id.
        splits: With the columns case and split.
        whose: Who asks for them: the message begins with it.
        remedy: What to do; the message ends with it.

    Raises:
        ValueError: If train or validation has no case.
    """
    parts = by_split(cases, splits)
    for name in ("train", "validation"):
        if not parts[name]:
            sizes = {split: len(own) for split, own in parts.items()}
            msg = f"{whose}: expected cases of a subject in {name}, got {sizes}; {remedy}"
            raise ValueError(msg)
    return parts


def choose_cases(
    cases: Mapping[str, T], splits: pd.DataFrame, wanted: Literal["test", "all"]
) -> dict[str, T]:
    """Choose the cases that imputation takes, in the order of the splits.

    Args:
        cases: By id; those of the splits that are missing here, as after a failure, are left out.
        splits: With the columns case and split.
        wanted: Those of test subjects, or all.
    """
    chosen = splits if wanted == "all" else splits.query("split == 'test'")
    return {case: cases[case] for case in chosen["case"] if case in cases}


def split_cases(manifest: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Divide the cases of a manifest.

    The result depends on the set of cases and the seed, not on the order of the rows.

    Args:
        manifest: With the columns case, subject and label ("" where there is none).
        params: Fractions and seed, or the file with the split.

    Returns:
        Columns case, subject, split (train, validation or test) and fold (0 … folds - 1),
        by case.

    Raises:
        ValueError: If the file does not fit the manifest, or divides a subject.
    """
    cases = manifest[["case", "subject"]].astype(str).sort_values("case", ignore_index=True)
    labelled = manifest["label"].fillna("").ne("").groupby(manifest["subject"].astype(str)).any()
    rng = np.random.default_rng(params.seed)
    order = _shuffled(labelled & params.stratify, rng)
    split = np.repeat(
        SPLITS, largest_remainder(len(order), (params.train, params.validation, params.test))
    )
    cases["split"] = cases["subject"].map(dict(zip(order, split, strict=True)))
    # Shuffled again, so that every split is spread over the folds.
    order = _shuffled(labelled & params.stratify, rng)
    fold = np.arange(len(order)) * params.folds // max(len(order), 1)
    cases["fold"] = cases["subject"].map(dict(zip(order, fold, strict=True))).astype(int)
    return cases if params.file is None else _from_file(cases, Path(params.file), params.folds)


def largest_remainder(count: int, fractions: tuple[float, ...]) -> list[int]:
    """Divide a count by the method of largest remainders; ties go to the first.

    Example:
        >>> largest_remainder(10, (0.66, 0.17, 0.17))
        [6, 2, 2]
    """
    quotas = count * np.array(fractions)
    sizes = np.floor(quotas).astype(int)
    remainders = np.round(quotas - sizes, 9)  # equal ones differ in their last bits otherwise
    largest = np.argsort(-remainders, kind="stable")
    sizes[largest[: count - sizes.sum()]] += 1
    return [int(size) for size in sizes]


def _shuffled(stratum: "pd.Series[bool]", rng: np.random.Generator) -> list[str]:
    """Order subjects at random with evenly mixed strata, so that every section has both."""
    placed = []
    for _, members in stratum.groupby(stratum):
        subjects = rng.permutation(members.index.to_numpy(dtype=object))
        placed += [((rank + 0.5) / len(subjects), name) for rank, name in enumerate(subjects)]
    return [name for _, name in sorted(placed, key=lambda place: place[0])]


def _from_file(cases: pd.DataFrame, path: Path, folds: int) -> pd.DataFrame:
    given = pd.read_csv(path, dtype=str, keep_default_na=False)
    _check_file(given, set(cases["case"]), path)
    given = given.set_index("case")
    cases["split"] = cases["case"].map(given["split"])
    if "fold" in given:
        cases["fold"] = pd.to_numeric(cases["case"].map(given["fold"]), errors="coerce")
        if not cases["fold"].isin(range(folds)).all():
            msg = f"{path}: column fold must hold whole numbers from 0 to {folds - 1} (split.folds)"
            raise ValueError(msg)
        cases["fold"] = cases["fold"].astype(int)
    for column in ("split", "fold"):
        divided = cases.groupby("subject")[column].nunique()
        if (divided > 1).any():
            subjects = ", ".join(divided[divided > 1].index)
            msg = f"{path}: column {column} divides subjects {subjects}; keep their cases together"
            raise ValueError(msg)
    return cases


def _check_file(given: pd.DataFrame, cases: set[str], path: Path) -> None:
    if not {"case", "split"} <= set(given.columns):
        msg = f"{path}: expected columns case, split (and fold), got {', '.join(given.columns)}"
        raise ValueError(msg)
    listed = set(given["case"])
    faults: dict[str, set[str]] = {
        "lists twice": set(given["case"][given["case"].duplicated()]),
        "lists unknown or refused cases": listed - cases,
        "lacks": cases - listed,
        f"has splits other than {', '.join(SPLITS)}:": set(given["split"].fillna("")) - {*SPLITS},
    }
    for fault, found in faults.items():
        if found:
            names = ", ".join(sorted(map(str, found))[:10])
            msg = f"{path}: {fault} {names}; it must list every case of the manifest once"
            raise ValueError(msg)
