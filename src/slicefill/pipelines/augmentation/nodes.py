"""Augmentation nodes: which slices segmentation networks see, and with which weight."""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import pandas as pd

from slicefill.advice import kedro_run
from slicefill.fingerprint import fingerprint
from slicefill.params import AugmentationParams, ComparedMethod, ComparisonParams
from slicefill.params.segmentation import LesionSampling
from slicefill.segmentation.scans import Scan, ScanPromise, ScanSet, make_scan
from slicefill.types import Lazy, Promise, read_record

logger = logging.getLogger(__name__)


def list_slices(
    acquired_cases: dict[str, Promise],
    imputed_cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: AugmentationParams,
    comparison: ComparisonParams,
    compared_methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> pd.DataFrame:
    """List the slices of every case for every chosen method; no voxel is copied.

    A case that a method could not impute is left out for that method. A method that is trained
    again for every network (`compared_methods` names the repetitions) is listed once for each.

    Returns:
        One row per slice: `method`, `row` (of the table; one of several where a method is
        repeated), `seeds` (of the networks that see it; empty: all), `engine`, `transforms`,
        `add_transforms` and `lesions` (JSON), `steps`, `synthetic_fraction` (empty: the usual one),
        `subjects` (that train; empty: all),
        `network` (the method that trains it), `case`, `subject`, `split`, `imputed` (which imputed
        case; empty for acquired slices alone: networks may learn from others than they are tested
        on), and what `describe_slices` says.

    Raises:
        ValueError: If there is no case for any method.
    """
    from tqdm.auto import tqdm

    from slicefill.segmentation.scans import describe_slices

    chosen = comparison.repeated(compared_methods, seeds)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    listed = splits.loc[splits["case"].isin(list(acquired_cases)), ["case", "subject", "split"]]
    for case, subject, split in tqdm(listed.to_numpy().tolist(), desc="list", unit="case"):
        acquired_case = acquired_cases[case].make()
        for name, (method, own) in chosen.items():
            group = method.group if split == "test" else method.learned_group
            key = f"{group}/{case}" if group else ""
            if key and key not in imputed_cases:
                continue
            imputed = imputed_cases[key].make() if key else None
            common = _describe_row(name, method, own, comparison)
            common |= {"case": case, "subject": subject, "split": split, "imputed": key}
            rows[name] += [common | row for row in describe_slices(acquired_case, imputed, params)]
    for name in sorted(name for name, own in rows.items() if not own):
        logger.warning("%s: no case was imputed by %s", name, chosen[name][0].imputed_by)
    if not any(rows.values()):
        msg = f"no chosen method has a case: first run: {kedro_run('comparison')}"
        raise ValueError(msg)
    return pd.DataFrame([row for own in rows.values() for row in own])


def _describe_row(
    name: str, method: ComparedMethod, seeds: Sequence[int], comparison: ComparisonParams
) -> dict[str, Any]:
    """Say what the manifest says of a method; nothing is an empty cell."""
    subjects = comparison.presets[comparison.preset].subjects
    return {
        "method": name,
        "row": comparison.row(name),
        "seeds": " ".join(map(str, seeds)),
        "network": comparison.network(name),
        "engine": method.engine,
        "transforms": method.transforms,
        "add_transforms": json.dumps(method.add_transforms),
        "lesions": "" if method.lesions is None else method.lesions.model_dump_json(),
        "steps": method.steps,
        "synthetic_fraction": ""
        if method.synthetic_fraction is None
        else method.synthetic_fraction,
        "subjects": "" if subjects is None else subjects,
    }


def assemble_scans(
    slice_manifest: pd.DataFrame,
    acquired_cases: dict[str, Promise],
    imputed_cases: dict[str, Promise],
    params: AugmentationParams,
) -> dict[str, ScanSet]:
    """Promise what networks see, by method: put together when it is read, never stored.

    With `augmentation.samples` a training case is there again for every sample of its imputation,
    as `<case>_sample_<number>`.
    """
    sets = {}
    subject = dict(zip(slice_manifest["case"], slice_manifest["subject"].astype(str), strict=True))
    for method, own in slice_manifest.groupby("method", sort=False):
        parts: dict[str, dict[str, ScanPromise]] = {"train": {}, "validation": {}, "test": {}}
        grids = {}
        for names, slices in own.groupby(["case", "split", "imputed"], sort=False):
            case, split, key = map(str, cast("tuple[str, str, str]", names))
            acquired_case, imputed = acquired_cases[case], imputed_cases[key] if key else None
            weights = slices.sort_values("slice")["weight"].tolist()
            parts[split][case] = _promise_scan(acquired_case, imputed, weights, params)
            for sample in _samples(imputed, params) if split == "train" else ():
                name = f"{case}_sample_{sample}"
                subject[name] = subject[case]
                parts[split][name] = _promise_scan(acquired_case, imputed, weights, params, sample)
            grids[case] = imputed or acquired_case
        sets[str(method)] = _scan_set(own.iloc[0].to_dict(), parts, grids, subject)
    return sets


def _scan_set(
    row: Mapping[Any, Any],
    parts: dict[str, dict[str, ScanPromise]],
    grids: dict[str, Promise],
    subject: dict[str, str],
) -> ScanSet:
    """Put a set together from what `_describe_row` wrote; an empty cell is nothing."""
    fraction, subjects = str(row["synthetic_fraction"]), str(row["subjects"])
    lesions = str(row["lesions"])
    return ScanSet(
        str(row["engine"]),
        bool(row["transforms"]),
        parts["train"],
        parts["validation"],
        parts["test"],
        grids,
        str(row["network"]),
        row=str(row["row"]),
        seeds=tuple(map(int, str(row["seeds"]).split())),
        add_transforms=tuple(json.loads(str(row["add_transforms"]))),
        lesions=LesionSampling.model_validate_json(lesions) if lesions else None,
        steps=float(row["steps"]),
        synthetic_fraction=float(fraction) if fraction else None,
        subject=subject,
        subjects=int(float(subjects)) if subjects else None,
    )


def _samples(imputed: Promise | None, params: AugmentationParams) -> range:
    """Numbers of the samples of an imputed case that are learned from."""
    if imputed is None or not params.samples:
        return range(0)
    return range(1, min(params.samples, int(read_record(imputed).get("samples", 0))) + 1)


def _promise_scan(
    acquired_case: Promise,
    imputed: Promise | None,
    weights: list[float],
    params: AugmentationParams,
    sample: int = 0,
) -> ScanPromise:
    mark = fingerprint(
        acquired_case.fingerprint,
        imputed.fingerprint if imputed else None,
        weights,
        params.model_dump(include={"confidence_threshold", "through_plane", "window"}),
        *([sample] if sample else []),
    )
    return Lazy(partial(_make_scan, acquired_case, imputed, weights, params, sample), mark)


def _make_scan(
    acquired_case: Promise,
    imputed: Promise | None,
    weights: list[float],
    params: AugmentationParams,
    sample: int,
) -> Scan:
    made = imputed.make() if imputed else None
    return make_scan(acquired_case.make(), made, weights, params, sample)
