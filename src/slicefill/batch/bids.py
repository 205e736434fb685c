"""The scans of a BIDS data set, imputed one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slicefill.batch.one_scan import (
    impute_named,
    read_scan,
    rule_fingerprint,
    scan_fingerprint,
)
from slicefill.imputation.choice import doubt
from slicefill.imputation.grids import why_dense
from slicefill.imputation.imputers import Imputer
from slicefill.ingestion.checks import ONE_SLICE, BadCase, OneSlice
from slicefill.ingestion.found import RawCase
from slicefill.ingestion.layouts.bids import find_labels, match_label
from slicefill.io.bids_derivatives import (
    Derivative,
    other_source,
    write_derivative,
    written_fingerprint,
)
from slicefill.params import ImputationParams
from slicefill.params.ingestion import own_scans


@dataclass(frozen=True)
class Outcome:
    """What came of a scan.

    Attributes:
        image: The scan.
        kind: `unchanged`: it was imputed before, by the same rule; `left aside`: there is nothing
            to impute.
        words: Why it was refused, or more about it.
    """

    image: Path
    kind: Literal["imputed", "unchanged", "left aside", "refused"]
    words: str = ""


def impute_scans(
    images: Sequence[Path], bids: Path, out: Path, imputer: Imputer, params: ImputationParams
) -> Iterator[Outcome]:
    """Impute scans, and their label maps under `derivatives/`, into a BIDS derivative data set.

    Args:
        images: Scans of the data set, `<bids>/sub-…/[ses-…/]anat/….nii[.gz]`.
        bids: The data set.
        out: The derivative data set; what it holds of the same fingerprint is not made again.
        imputer: The method.
        params: How it imputes.

    Yields:
        What came of each scan, in their order. A scan that cannot be imputed is refused.
    """
    labels = [path for path in find_labels(bids) if not path.is_relative_to(out)]
    taken: set[Path] = set()
    tolerance = own_scans().affine_tolerance
    for image in images:
        try:
            derivative = Derivative(image, match_label(image, labels, tolerance), bids, out)
            _claim(derivative, taken)
            yield _impute(derivative, imputer, params)
        except OneSlice:
            yield Outcome(image, "left aside", ONE_SLICE)
        except BadCase as error:
            place = f"{error.file.name}: " if error.file not in (None, image) else ""
            words = f"{place}expected {error.expected}, found {error.found}; {error.remedy}"
            yield Outcome(image, "refused", words)
        except Exception as error:  # one bad scan must not stop the others
            yield Outcome(image, "refused", " ".join(f"{type(error).__name__}: {error}".split()))


def _claim(derivative: Derivative, taken: set[Path]) -> None:
    """Refuse a scan whose outputs would replace those of another, also of an earlier call."""
    targets = {derivative.image_path, *([derivative.label_path] if derivative.label else [])}
    if taken & targets:
        raise BadCase(
            expected="outputs of its own for every scan",
            found=f"another scan whose output is {min(taken & targets).name}",
            remedy="impute one suffix at a time, each to a folder of its own, or remove a copy",
            file=derivative.image,
        )
    if other := other_source(derivative):
        raise BadCase(
            expected=f"a new {derivative.label_path.name}, or one of this scan",
            found=f"that of {other}",
            remedy="impute one suffix at a time, each to a folder of its own",
            file=derivative.image,
        )
    taken |= targets


def _impute(derivative: Derivative, imputer: Imputer, params: ImputationParams) -> Outcome:
    image, label = derivative.image, derivative.label
    raw = RawCase(image.name, image, label)
    own = scan_fingerprint(raw, rule_fingerprint(imputer, params))
    if own and written_fingerprint(derivative) == own:
        return Outcome(image, "unchanged")
    case = read_scan(raw, params)
    if dense := why_dense(case.image, params):
        return Outcome(image, "left aside", dense)
    imputed = impute_named(image.name, case, imputer, params)
    write_derivative(derivative, imputed, own)
    before = case.image.spacing[imputed.record["axis"]]
    spacing = f"{before:.3g} to {imputed.record['slice_spacing_mm']:.3g} mm"
    doubted = doubt(imputed.record["choice"])
    look = f"; look at it: {doubted}" if doubted else ""
    without = "" if label and imputed.label is not None else ", no label map"
    return Outcome(image, "imputed", f"{spacing}{without}{look}")
