"""Previews of datasets for kedro-viz: one picture each, drawn on demand."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from kedro_datasets._typing import ImagePreview

from slicefill.imputation.methods.pretrained import PRETRAINED
from slicefill.imputation.trace import acquired_places
from slicefill.io.case_folder import read_volume
from slicefill.io.storage import Location
from slicefill.types import Array, Case, Lazy, Prediction, Volume

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from slicefill.reporting.figures import ViewSpec

_RESOLUTION = 110  # dots per inch
_SHEET_WIDTH = 1100  # pixels of the widest figure on a sheet


def preview_case(cases: Mapping[str, Lazy[Case]], group: str | None) -> ImagePreview:
    """Draw the middle slices of one case: image, labels, and which slices are synthetic.

    Args:
        cases: By id; one is read.
        group: Of ids `group/case`, the group to show if it is there; otherwise that of the
            shipped weights, or the first id.

    Raises:
        FileNotFoundError: If there is none.
    """
    from slicefill.reporting.figures import first_channel, overlays

    wanted = [name for one in (group, PRETRAINED) for name in cases if name.startswith(f"{one}/")]
    name = _first(wanted or cases)
    case = cases[name].make()
    image = first_channel(case.image)
    layers: dict[str, Array] = {"image": np.zeros(image.shape, np.uint8)}
    names: dict[int, str] = {}
    if case.label is not None:
        layers["labels"] = case.label.stored
        names = {int(label): f"label {label}" for label in np.unique(case.label.stored) if label}
    if "synthetic_mask" in case.maps:
        mark = max(names, default=0) + 1
        layers["synthetic slices"] = mark * (case.maps["synthetic_mask"].stored > 0)
        names[mark] = "synthetic slice"
    return _png(overlays(image, None, layers, names, _spec(name, case.image, case.record)))


def preview_prediction(
    predictions: Mapping[str, Lazy[Prediction]], images: Location | None
) -> ImagePreview:
    """Draw the middle slices of one prediction, `method/network/case`.

    Args:
        predictions: By id; the first whose image there is, otherwise the first, is read.
        images: Folder of the imputed cases, `method/case`; where there is no image of a
            prediction, its labels stand on black.

    Raises:
        FileNotFoundError: If there is no prediction.
    """
    from slicefill.reporting.figures import first_channel, overlays

    pictured = (name for name in predictions if _image_of(name, images))
    name = next(pictured, None) or _first(predictions)
    prediction, file = predictions[name].make(), _image_of(name, images)
    label = prediction.label.stored
    image = np.zeros(label.shape) if file is None else first_channel(read_volume(file))
    names = {int(label): text for label, text in prediction.record["label_names"].items()}
    layers = {"image": np.zeros_like(label), "prediction": label}
    spec = _spec(name, prediction.label, prediction.record)
    return _png(overlays(image, None, layers, names, spec))


def preview_figures(figures: Mapping[str, bytes]) -> ImagePreview:
    """Put the figures, PNG files by name, on one sheet, below each other.

    Raises:
        FileNotFoundError: If there is none.
    """
    from PIL import Image

    if not figures:
        msg = "expected figures to preview, found none; first run the pipeline that draws them"
        raise FileNotFoundError(msg)
    shown = [Image.open(io.BytesIO(png)).convert("RGB") for png in figures.values()]
    for one in shown:
        one.thumbnail((_SHEET_WIDTH, one.height))
    size = max(one.width for one in shown), sum(one.height for one in shown)
    sheet = Image.new("RGB", size, "white")
    top = 0
    for one in shown:
        sheet.paste(one, (0, top))
        top += one.height
    png = io.BytesIO()
    sheet.save(png, "PNG")
    return _encoded(png)


def preview_history(history: "pd.DataFrame") -> ImagePreview:
    """Draw learning curves: of the last synthesis model, or of the networks of several methods."""
    from slicefill.reporting.figures import loss_curves, segmentation_curves

    if "network" not in history:
        return _png(loss_curves(history[history["model"] == history["model"].iloc[-1]]))
    runs = history.groupby(["method", "network"], sort=False)
    return _png(segmentation_curves({f"{method}/{net}": own for (method, net), own in runs}))


def _spec(name: str, volume: Volume, record: Mapping[str, Any]) -> "ViewSpec":
    """Cut a volume in the middle, through a synthetic slice where the record knows of some."""
    from slicefill.reporting.figures import grid_spec

    axis = record.get("axis", 2 - int(np.argmax(volume.spacing[::-1])))  # isotropic: the last
    return grid_spec(name, volume, axis, _acquired(record))


def _acquired(record: Mapping[str, Any]) -> Sequence[int] | None:
    """Return the acquired slices of an imputed case or a prediction; None where all are."""
    if "slices" in record:
        return [*acquired_places(record["slices"])]
    return record.get("acquired")


def _first(names: Iterable[str]) -> str:
    for name in names:
        return name
    msg = "expected cases to preview, found none; first run the pipeline that makes them"
    raise FileNotFoundError(msg)


def _image_of(name: str, images: Location | None) -> Location | None:
    method, *_, case = name.split("/")
    file = None if images is None else images / method / case / "image.nii.gz"
    return file if file is not None and file.exists() else None


def _png(figure: "Figure") -> ImagePreview:
    png = io.BytesIO()
    figure.savefig(png, dpi=_RESOLUTION)
    return _encoded(png)


def _encoded(png: io.BytesIO) -> ImagePreview:
    return ImagePreview(base64.b64encode(png.getvalue()).decode())
