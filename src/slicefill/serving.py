"""Trained models as functions of arrays: what MLflow serves, and what others may call."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.geometry import AxisName
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import learned_imputer, load_named
from slicefill.ingestion.reading import checked_case
from slicefill.io.checkpoints import read_checkpoint
from slicefill.io.exchange import from_array
from slicefill.params import (
    AugmentationParams,
    HardwareParams,
    ImputationParams,
    InferenceParams,
    PredictionParams,
    ScanParams,
    SegmentationParams,
)
from slicefill.params.ingestion import own_scans
from slicefill.plugins import find_kind
from slicefill.types import Array, Case, Checkpoint, Floats, Prediction, Volume

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.opened import Opened

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
        it unchanged, unless the method replaces them (super-resolution). It raises ValueError where
        there is nothing to impute.
    """
    base = ImputationParams.model_validate(params)
    imputer = learned_imputer(name, read_checkpoint(Path(path)), base)

    def impute(volume: Floats, spacing: Sequence[float], axis: int = -1, count: int = -1) -> Floats:
        case = _case(volume, spacing)
        own = base.counted("nearest" if count < 0 else count)
        own = own.model_copy(update={"through_plane": axis_name(axis)})
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


def case_segmenter(place: str, device: str = "auto") -> Callable[[Case], Prediction]:
    """Prepare a trained network with what it says of labels and intensities.

    Args:
        place: As for `segmentation.opened.read_network`.
        device: auto, cpu, gpu or mps.

    Returns:
        A function from a case, as dense along its slices as those that the model learned from, to
        its label map and the confidence in it.

    Raises:
        ValueError: If there is no segmentation network.
    """
    from slicefill.segmentation.isotropic import segment_acquired

    return partial(segment_acquired, network=_open(place, device))


def isotropic_segmenter(
    place: str, method: str, params: ImputationParams
) -> Callable[[Case], Prediction]:
    """Prepare a trained network and a method: acquired slices in, isotropic labels out.

    Args:
        place: As for `segmentation.opened.read_network`; trained on acquired slices.
        method: As for `imputation.imputers.load_named`.
        params: How it imputes, and where everything runs.

    Returns:
        A function from a case to labels on the grid that the method gives it, and the confidence.

    Raises:
        ValueError: If there is no segmentation network, or no such method.
    """
    from slicefill.segmentation.isotropic import segment_isotropically

    imputer = load_named(method, params)
    network = _open(place, params.hardware.accelerator)
    return partial(segment_isotropically, network=network, imputer=imputer, params=params)


def _open(place: str, device: str) -> "Opened":
    from slicefill.segmentation.opened import open_network, read_network

    hardware = HardwareParams.model_validate({"accelerator": device})
    return open_network(read_network(place), InferenceParams(), hardware)


def _segmenter(checkpoint: Checkpoint, rule: PredictionParams) -> Callable[..., Volume]:
    from slicefill.segmentation import engines
    from slicefill.segmentation.prediction import make_prediction, make_predictor
    from slicefill.segmentation.scans import make_scan

    engine = find_kind(engines.FOLDER, checkpoint["engine"])
    predictor = make_predictor(engine, checkpoint, rule)

    def predict(case: Case, params: ScanParams) -> Volume:
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
    return checked_case(from_array(volume, spacing), None, own_scans())
