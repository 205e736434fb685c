"""Slicefill for callers in Python, without Kedro: read, impute and verify cases; arrays.

Example:
    ```python
    from slicefill import api

    case = api.read("scan.nii.gz", "label.nii.gz")
    imputed = api.impute(case, target_spacing=1.0, count=None)
    assert not api.verify(imputed, case)
    ```
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.imputation.impute import impute_case, learned_imputer, load_imputer
from slicefill.imputation.methods import FOLDER
from slicefill.params import AugmentationParams, ImputationParams, SegmentationParams
from slicefill.params.base import AxisName
from slicefill.plugins import System, find_kind, find_system, list_kinds
from slicefill.segmentation import engines
from slicefill.segmentation.prediction import make_prediction, make_predictor
from slicefill.segmentation.scans import make_scan
from slicefill.types import Array, Case, Checkpoint, Floats, Volume

_READING = {
    "layout": "auto",
    "bids_suffix": "T2w",
    "channel": "all",
    "subject_pattern": "^(.+)$",
    "cases_per_subject": 1,
    "through_plane": "auto",
    "affine_tolerance": 0.1,
    "step_tolerance": 0.05,
    "labels": {"need": "optional", "names": {0: "background"}, "groups": None, "unlisted": "keep"},
    "strict": False,
    "limit": None,
    "split": {
        "file": None,
        "train": 1.0,
        "validation": 0.0,
        "test": 0.0,
        "folds": 2,
        "stratify": False,
        "seed": 0,
    },
}
_AXES: dict[int, AxisName] = {-1: "auto", 0: "L", 1: "A", 2: "S"}  # of an array that is not turned


def read(image: str | Path, label: str | Path | None = None) -> Case:
    """Read a scan and its label map, checked as a run checks them.

    Args:
        image: A NIfTI, NRRD, MHA or GIPL file, or the folder of a DICOM series.
        label: A label map on the same grid; its ids stay as they are.

    Returns:
        Image `(I, J, K)` or `(I, J, K, C)` as stored, and the label map `(I, J, K)`.

    Raises:
        BadCase: If a file is damaged, odd, or does not fit the other; says what to do.
    """
    from slicefill.ingestion.layouts import RawCase, safe_id
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.params import IngestionParams

    raw = RawCase(safe_id(Path(image).name), Path(image), None if label is None else Path(label))
    return read_raw_case(raw, IngestionParams.model_validate(_READING))


def impute(case: Case, method: str | Mapping[str, Any] = "pretrained", **params: Any) -> Case:
    """Synthesise the slices between the acquired slices of a case.

    Args:
        case: Image and, if there is one, label map.
        method: `pretrained`, a rule such as `linear`, or an entry as in `methods` of `conf/`.
        params: Fields of `ImputationParams`: `count`, `target_spacing`, `through_plane`, …

    Returns:
        As `slicefill.imputation.impute.impute_case`.

    Raises:
        ValueError: If there is no such method, or a parameter does not fit.
    """
    if isinstance(method, str):
        kinds = list_kinds(FOLDER)
        method = {"kind": method} if method in kinds else {"kind": "classical", "rule": method}
    rule = ImputationParams.model_validate(params)
    system = find_system(FOLDER, str(method.get("rule", method.get("kind"))), method)
    return impute_case(case, load_imputer(system, None, rule), rule)


def verify(imputed: Case, source: Case) -> list[str]:
    """List how an imputed case differs from its source where it must not; empty if nowhere."""
    from slicefill.imputation.verification import verify_imputed_case

    return verify_imputed_case(imputed, source)


def array_imputer(name: str, path: str | Path, params: dict[str, Any]) -> Callable[..., Floats]:
    """Prepare a synthesis model.

    Args:
        name: The method's name.
        path: Its checkpoint.
        params: Fields of `ImputationParams`, plain values.

    Returns:
        A function `impute(volume, spacing, axis=-1, count=-1)`: volume `(I, J, K)`, float32, any
        intensities; spacing of its voxels, mm; `axis` across the slices, -1 for the one with the
        largest spacing; `count` of synthetic slices in an interval, -1 for as many as make the
        voxels nearly cubic. It returns the imputed volume, float32; every slice of the input is in
        it unchanged. It raises ValueError where there is nothing to impute.
    """
    base = ImputationParams.model_validate(params)
    imputer = learned_imputer(name, _read(path), base)

    def impute(volume: Floats, spacing: Sequence[float], axis: int = -1, count: int = -1) -> Floats:
        case = _case(volume, spacing)
        wanted = {"count": "N_A" if count < 0 else count, "target_spacing": None}
        own = base.model_copy(update={**wanted, "through_plane": _axis(axis)})
        imputed = impute_case(case, imputer, own)
        if imputed.record["count"] == 0:
            msg = (
                f"nothing to impute: spacing {list(spacing)} mm, axis {axis}, count {count}; "
                "give the true spacing of the voxels, or count, the synthetic slices in an interval"
            )
            raise ValueError(msg)
        return np.asarray(imputed.image.stored)

    return impute


def array_segmenter(path: str | Path, params: dict[str, Any]) -> Callable[..., Array]:
    """Prepare a segmentation model.

    Args:
        path: Its checkpoint.
        params: Plain values of the sections `augmentation` (which intensities a network sees) and
            `segmentation` (how it predicts).

    Returns:
        A function `segment(volume, spacing, axis=-1)`: volume `(I, J, K)`, float32, as dense
        along `axis` as those that the model learned from (imputed, if it learned from imputed
        volumes); see `array_imputer` for the rest. It returns label ids, `(I, J, K)`, uint8 where
        they fit.
    """
    checkpoint = _read(path)
    rule = SegmentationParams.model_validate(params["segmentation"])
    base = AugmentationParams.model_validate(params["augmentation"])
    module = find_kind(engines.FOLDER, checkpoint["engine"])
    predictor = make_predictor(System(checkpoint["engine"], module, None), checkpoint, rule)

    def segment(volume: Floats, spacing: Sequence[float], axis: int = -1) -> Array:
        case = _case(volume, spacing)
        own = base.model_copy(update={"through_plane": _axis(axis)})
        scan = make_scan(case, None, None, own)
        return make_prediction(predictor, scan, case, rule).label.stored

    return segment


def _case(volume: Floats, spacing: Sequence[float]) -> Case:
    if volume.ndim != 3 or min(volume.shape) < 2:
        msg = f"volume: expected an array (I, J, K) of 2 or more along each, got {volume.shape}"
        raise ValueError(msg)
    if len(spacing) != 3 or min(spacing) <= 0:
        msg = f"spacing: expected three numbers above 0 (mm), got {list(spacing)}"
        raise ValueError(msg)
    header = nib.Nifti1Header()
    header.set_data_shape(volume.shape)
    header.set_data_dtype(np.float32)
    header.set_sform(np.diag([*map(float, spacing), 1.0]), code=1)
    return Case(Volume(volume, header))


def _axis(axis: int) -> AxisName:
    if axis not in _AXES:
        msg = f"axis: expected 0, 1, 2 or -1 (the largest spacing), got {axis}"
        raise ValueError(msg)
    return _AXES[axis]


def _read(path: str | Path) -> Checkpoint:
    import torch

    return dict(torch.load(path, map_location="cpu", weights_only=True))
