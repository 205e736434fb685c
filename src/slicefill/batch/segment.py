"""Segments scans, one file out for one file in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from slicefill.batch.loop import make_each
from slicefill.batch.tasks import name_outputs
from slicefill.ingestion.label_names import CONFIDENCE
from slicefill.ingestion.layouts import RawCase
from slicefill.io.scan_files import beside
from slicefill.types import Case, Prediction

_ENDING, _ISOTROPIC = "_label", "_isotropic_label"


def name_labels(
    source: Path, out: Path | None, cases: Sequence[RawCase], *, isotropic: bool = False
) -> dict[str, Path]:
    """Name the label map of every scan, by case id.

    Raises:
        ValueError: If many scans would go into one file, its format is not written, or an output
            would replace an input.
    """
    return name_outputs(source, out, cases, _ISOTROPIC if isotropic else _ENDING)


def name_confidence(label: Path) -> Path:
    """Name the map of the confidence beside a label map.

    Example:
        >>> name_confidence(Path("knee_isotropic_label.nii.gz")).name
        'knee_isotropic_label_confidence.nii.gz'
    """
    return beside(label, f"{CONFIDENCE}.nii.gz")


def segment_scans(
    cases: Sequence[RawCase],
    names: Mapping[str, Path],
    predict: Callable[[Case], Prediction],
    *,
    overwrite: bool,
    confidence: bool = False,
) -> dict[str, str]:
    """Segment every scan and write its label map; one that fails does not stop the others.

    Args:
        cases: The scans.
        names: Of the label maps, by case id.
        predict: Segments one.
        overwrite: Whether label maps that are there are replaced.
        confidence: Whether the map of the confidence is written, too (`name_confidence`).

    Returns:
        The reason of each failure, by case id.
    """
    make = partial(_segment, predict=predict, confidence=confidence)
    files = {
        case: [path, *([name_confidence(path)] if confidence else [])]
        for case, path in names.items()
    }
    return make_each(cases, files, make, overwrite=overwrite, title="segmenting")[1]


def _segment(
    raw: RawCase, path: Path, predict: Callable[[Case], Prediction], *, confidence: bool
) -> None:
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.io.scan_files import write_scan
    from slicefill.params.ingestion import own_scans

    made = predict(read_raw_case(replace(raw, label=None), own_scans()))
    if confidence and made.confidence is not None:
        write_scan(made.confidence, name_confidence(path))
    write_scan(made.label, path)  # last: where it is, all is
