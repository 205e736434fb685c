"""Chosen cases that are not imputed: dense already, or refused because they would be too large."""

import logging

import numpy as np
import pandas as pd

from slicefill.ingestion.splits import choose_cases
from slicefill.params import ImputationParams
from slicefill.types import Case, Promise, read_record

logger = logging.getLogger(__name__)


def sort_cases(
    acquired_cases: dict[str, Promise], splits: pd.DataFrame, params: ImputationParams
) -> tuple[dict[str, str], dict[str, str]]:
    """Name the chosen cases that are not imputed, each with the reason; before any is imputed.

    Returns:
        Those in which there is nothing to impute, and those that would become too large.
    """
    from slicefill.imputation.grids import refuse_too_much, why_dense
    from slicefill.ingestion.checks import BadCase

    dense, refused = {}, {}
    for case, promise in choose_cases(acquired_cases, splits, params.cases).items():
        outline = _outline(promise)
        if not outline.absent and (reason := why_dense(outline.image, params)):
            dense[case] = reason
            logger.info("dense already, not imputed: %s: %s", case, reason)
            continue
        try:
            refuse_too_much(outline, params)
        except BadCase as error:
            refused[case] = str(error)
    return dense, refused


def _outline(promise: Promise) -> Case:
    """Return a case whose voxels are not read, where its record says what they would be."""
    from slicefill.ingestion.nifti import new_volume

    record = read_record(promise)
    if "voxels" not in record:
        return promise.make()
    affine = np.asarray(record["affine"])
    volumes = {}
    for name, voxels in record["voxels"].items():
        blank = np.broadcast_to(np.zeros((), voxels["dtype"]), voxels["shape"])  # of no memory
        volumes[name] = new_volume(blank, affine)
    return Case(volumes["image"], volumes.get("label"), record=record)
