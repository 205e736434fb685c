"""raw scans → cases, manifest, splits, and the report on what was refused."""

from functools import partial
from pathlib import Path

import pandas as pd
from kedro.pipeline import Node, Pipeline

from slicefill.fingerprint import fingerprint
from slicefill.ingestion.found import RawCase
from slicefill.params import ImputationParams, IngestionParams
from slicefill.pipelines import stage
from slicefill.types import Case, Promise


def check_raw_cases(raw_folder: Path, params: IngestionParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every raw case once; return the manifest of good cases and the report on the others."""
    from slicefill.ingestion.manifest import check_cases

    manifest, report = check_cases(raw_folder, params)
    if manifest.empty:
        msg = f"{raw_folder}: no case can be used; the reasons:\n{report.to_string(index=False)}"
        raise ValueError(msg)
    return manifest, report


def import_cases(
    raw_folder: Path, manifest: pd.DataFrame, params: IngestionParams
) -> dict[str, Promise]:
    """Promise every case of the manifest: image and label on one grid."""
    from slicefill.ingestion.layouts import find_cases

    raw = {case.id: case for case in find_cases(raw_folder, params).cases}
    promises = {}
    for row in manifest.fillna("").itertuples():
        read = (params.channel, params.not_finite, params.labels, params.missing_slices)
        own = fingerprint(row.image_sha256, row.label_sha256, *read)
        promises[str(row.case)] = Promise(partial(_import_case, raw[str(row.case)], params), own)
    return promises


def _import_case(raw: RawCase, params: IngestionParams) -> Case:
    """Read a case; the shipped weights fill in what its series lacks, for training to look at.

    `Case.absent` stays as it is: imputation does not look at it.
    """
    from slicefill.imputation.impute import impute_case
    from slicefill.imputation.imputers import load_named
    from slicefill.ingestion.reading import read_raw_case

    case = read_raw_case(raw, params)
    if not case.absent:
        return case
    none_between = ImputationParams(count=0)
    filled = impute_case(case, load_named("pretrained", none_between), none_between)
    return Case(filled.image, filled.label, record=case.record)


def split_manifest(manifest: pd.DataFrame, params: IngestionParams) -> pd.DataFrame:
    """Divide the cases into training, validation and test, by subject."""
    from slicefill.ingestion.splits import split_cases

    return split_cases(manifest, params.split)


def create_pipeline(**_: object) -> Pipeline:
    """Build the ingestion pipeline (`kedro run --pipelines=ingestion`)."""
    return stage(
        "ingestion",
        [
            Node(
                check_raw_cases,
                inputs=["raw_folder", "params:ingestion"],
                outputs=["manifest", "ingestion_report"],
                name="check_raw_cases",
            ),
            Node(
                split_manifest,
                inputs=["manifest", "params:ingestion"],
                outputs="splits",
                name="split_manifest",
            ),
            Node(
                import_cases,
                inputs=["raw_folder", "manifest", "params:ingestion"],
                outputs="cases",
                name="import_cases",
            ),
        ],
    )
