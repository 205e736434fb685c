"""Subsampled real data sets: their subjects, and reading, imputation and scoring of their scans.

The environment of a set in conf/ defines its layout, label groups and intensity window, halves.yml
the half of each subject. Imputation uses the values of conf/base, the same for all sets.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from read_conf import read_parameters
from scipy.stats import spearmanr

from slicefill.geometry import slices_first
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.ingestion.layouts import RawCase, find_cases
from slicefill.ingestion.reading import read_raw_case
from slicefill.ingestion.subjects import subject_of
from slicefill.metrics.confidence import ConfidenceErrors, confidence_gain
from slicefill.metrics.real_channels import body_mask
from slicefill.metrics.scoring import (
    Correspondence,
    corresponding_slices,
    score_imputed_case,
)
from slicefill.params import EvaluationParams, ImputationParams, IngestionParams
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.types import Case

FACTORS = {
    "brain_t1": (2, 4),
    "hippocampus": (2, 4),
    "sts_ct": (2, 4),
    "mouse_brain": (2, 4),
    "cine_sax": (2,),  # ten slices: every fourth would leave three
}
HALVES = Path(__file__).with_name("halves.yml")


def set_options(
    description: str | None, name: str, limit: str = "largest number of subjects of each set"
) -> argparse.ArgumentParser:
    """Begin the options of a benchmark on the sets: `--data`, `--sets`, `--limit`, `--out`.

    Args:
        description: Of the benchmark.
        name: Of the folder of its results.
        limit: What is said of `--limit`.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = os.environ.get("SLICEFILL_DATA")
    add = parser.add_argument
    add("--data", type=Path, default=data, required=data is None, help="(SLICEFILL_DATA)")
    add("--sets", nargs="+", choices=FACTORS, default=[*FACTORS], help="(all)")
    add("--limit", type=int, help=limit)
    out = Path(__file__).parents[1] / "data/08_reporting" / name
    add("--out", type=Path, default=out, help="folder of the results (%(default)s)")
    return parser


@dataclass(frozen=True)
class Design:
    """A set of which every factor-th slice is kept, and the parameters of every step."""

    folder: Path
    ingestion: IngestionParams
    subsampling: AnisotropizationParams
    synthesis: SynthesisParams
    adaptation: AdaptationParams
    imputation: ImputationParams
    evaluation: EvaluationParams

    @property
    def name(self) -> str:
        """The set, which is also its environment."""
        return self.folder.name

    @property
    def factor(self) -> int:
        """One of this number of slices is kept."""
        return self.subsampling.factor

    def __str__(self) -> str:
        return f"{self.name} ×{self.factor}"


@dataclass(frozen=True)
class Scan:
    """A scan that is not read yet, and its subject."""

    subject: str
    raw: RawCase


def load_design(folder: Path, factor: int) -> Design:
    """Read the parameters of a set from the environment of its name.

    Imputation restores as many slices as were removed. Only the window and the axis are those of
    the set; the rest is that of conf/base.
    """
    own, anybody = (read_parameters(env, factor=factor) for env in (folder.name, "base"))
    of_set = ("window", "through_plane")
    synthetic = {key: own["imputation"][key] for key in of_set if key in own["imputation"]}
    synthetic |= {"count": factor - 1, "target_spacing": None}
    return Design(
        folder,
        IngestionParams(**own["ingestion"]),
        AnisotropizationParams(**own["anisotropization"]),
        SynthesisParams(**own["synthesis"]),
        AdaptationParams(**own["adaptation"]),
        ImputationParams(**{**anybody["imputation"], **synthetic}),
        EvaluationParams(**own["evaluation"]),
    )


def find_scans(
    design: Design, half: str, limit: int | None
) -> tuple[dict[str, Scan], dict[str, str]]:
    """List the scans of a half, or of its first `limit` subjects, by case.

    Returns:
        The scans, and the reasons why others are left out of both halves.
    """
    halves = yaml.safe_load(HALVES.read_text())[design.name]
    found = find_cases(design.folder, design.ingestion)
    scans = {raw.id: Scan(subject_of(raw.id, design.ingestion), raw) for raw in found.cases}
    there = {scan.subject for scan in scans.values()}
    chosen = [subject for subject in halves[half] if subject in there][:limit]
    left_out = {error.case: str(error) for error in found.refused}
    for case, scan in scans.items():
        if scan.subject not in {*halves["report"], *halves["development"]}:
            left_out[case] = f"subject {scan.subject} is in no half of {HALVES.name}"
    return {case: scan for case, scan in scans.items() if scan.subject in chosen}, left_out


def read_pair(scan: Scan, design: Design) -> tuple[Case, Case]:
    """Read a scan; return it and its subsampled version."""
    truth = read_raw_case(scan.raw, design.ingestion)
    return truth, subsample(truth, design.subsampling)


def score_method(
    truth: Case, acquired_case: Case, imputer: Imputer, design: Design
) -> dict[str, float]:
    """Impute a case as `kedro run --pipelines=imputation` does, and score what it writes.

    Returns:
        The scores of `metrics.scoring`, and of the confidence map inside the body:
        `confidence_mean`; `confidence_due`, the ideal mean, 1 - mean absolute error as a fraction
        of the window's width; `confidence_rank`, Spearman's correlation of 1 - confidence with
        the absolute error; `confidence_gain` as in `metrics.confidence`. And
        `background_changed`, as `background_changed` says.
    """
    imputed = impute_case(acquired_case, imputer, design.imputation)
    slices = corresponding_slices(imputed.record)
    scores = score_imputed_case(imputed, truth, slices, design.evaluation)
    scores["background_changed"] = background_changed(imputed, truth, slices)
    return scores | _confidence_scores(imputed, truth, slices, design.evaluation.body_quantile)


def background_changed(imputed: Case, truth: Case, slices: Correspondence) -> float:
    """Share of synthetic voxels that differ from the constant background on both sides.

    Background is the lowest number of the scan, if at least one synthetic voxel in a hundred lies
    between two of it and the truth keeps it in 99 % of them; nan where there is none.
    """
    volume, made = (slices_first(case.image.stored, slices.axis) for case in (truth, imputed))
    low, step = volume.min(), imputed.record["count"] + 1
    found, there = slices.imputed[slices.synthetic], slices.truth[slices.synthetic]
    before = found // step * step
    both = (made[before] == low) & (made[before + step] == low)
    if both.mean() < 0.01 or (volume[there][both] == low).mean() < 0.99:
        return float("nan")
    return float((made[found][both] != low).mean())


def _confidence_scores(
    imputed: Case, truth: Case, slices: Correspondence, body_quantile: float
) -> dict[str, float]:
    volume, made, confidence = (
        slices_first(each.intensities(), slices.axis)
        for each in (truth.image, imputed.image, imputed.maps["confidence"])
    )
    found, there = slices.imputed[slices.synthetic], slices.truth[slices.synthetic]
    body = body_mask(volume, there, body_quantile)
    error = np.abs(made[found] - volume[there])[body]
    believed = confidence[found][body]
    width = np.ptp(imputed.record["window_shown"])
    return {
        "confidence_mean": float(believed.mean(dtype=np.float64)),
        "confidence_due": float(1 - error.mean(dtype=np.float64) / width),
        "confidence_rank": float(spearmanr(1 - believed, error).statistic),
        "confidence_gain": confidence_gain(ConfidenceErrors(believed, error, error)),
    }
