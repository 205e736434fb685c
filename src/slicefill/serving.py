"""Trained models as functions of arrays: what MLflow serves, and what others may call."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slicefill.geometry import AxisName
from slicefill.imputation.impute import impute_case, learned_imputer
from slicefill.io.checkpoints import read_checkpoint
from slicefill.io.exchange import from_array
from slicefill.params import (
    AugmentationParams,
    HardwareParams,
    ImputationParams,
    PredictionParams,
    SegmentationParams,
    ViewParams,
)
from slicefill.plugins import System, find_kind
from slicefill.types import Array, Case, Checkpoint, Floats, Volume

_AXES: dict[int, AxisName] = {-1: "auto", 0: "L", 1: "A", 2: "S"}  # of an array that is not turned


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
    imputer = learned_imputer(name, read_checkpoint(Path(path)), base)

    def impute(volume: Floats, spacing: Sequence[float], axis: int = -1, count: int = -1) -> Floats:
        case = _case(volume, spacing)
        wanted = {"count": "nearest" if count < 0 else count, "target_spacing": None}
        own = base.model_copy(update={**wanted, "through_plane": axis_name(axis)})
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
    rule = SegmentationParams.model_validate(params["segmentation"])
    base = AugmentationParams.model_validate(params["augmentation"])
    predict = _segmenter(read_checkpoint(Path(path)), rule)

    def segment(volume: Floats, spacing: Sequence[float], axis: int = -1) -> Array:
        own = base.model_copy(update={"through_plane": axis_name(axis)})
        return predict(_case(volume, spacing), own).stored

    return segment


def case_segmenter(path: str | Path, device: str = "auto") -> Callable[[Case], Volume]:
    """Prepare a segmentation model with what its checkpoint says of labels and intensities.

    Args:
        path: Its checkpoint.
        device: auto, cpu, gpu or mps.

    Returns:
        A function from a case, as dense along its slices as those that the model learned from, to
        its label map.

    Raises:
        ValueError: If the file is no checkpoint of a segmentation network.
    """
    checkpoint = read_checkpoint(Path(path))
    if "engine" not in checkpoint:
        msg = f"{path}: expected a segmentation network, got a checkpoint with {sorted(checkpoint)}"
        raise ValueError(msg)
    hardware = HardwareParams.model_validate({"accelerator": device})
    rule = PredictionParams(label_names=checkpoint["label_names"], hardware=hardware)
    view = ViewParams(through_plane=checkpoint["through_plane"], window=checkpoint["window"])
    return partial(_segmenter(checkpoint, rule), params=view)


def _segmenter(checkpoint: Checkpoint, rule: PredictionParams) -> Callable[..., Volume]:
    from slicefill.segmentation import engines
    from slicefill.segmentation.prediction import make_prediction, make_predictor
    from slicefill.segmentation.scans import make_scan

    module = find_kind(engines.FOLDER, checkpoint["engine"])
    predictor = make_predictor(System(checkpoint["engine"], module, None), checkpoint, rule)

    def predict(case: Case, params: ViewParams) -> Volume:
        scan = make_scan(case, None, None, params)
        return make_prediction(predictor, scan, case, rule).label

    return predict


def axis_name(axis: int) -> AxisName:
    """Return the name of an axis of an array that is not turned; -1 is `auto`.

    Raises:
        ValueError: If there is no such axis.
    """
    if axis not in _AXES:
        msg = f"axis: expected 0, 1, 2 or -1 (the largest spacing), got {axis}"
        raise ValueError(msg)
    return _AXES[axis]


def _case(volume: Floats, spacing: Sequence[float]) -> Case:
    if volume.ndim != 3 or min(volume.shape) < 2:
        msg = f"volume: expected an array (I, J, K) of 2 or more along each, got {volume.shape}"
        raise ValueError(msg)
    if len(spacing) != 3 or min(spacing) <= 0:
        msg = f"spacing: expected three numbers above 0 (mm), got {list(spacing)}"
        raise ValueError(msg)
    return Case(from_array(volume, spacing))
