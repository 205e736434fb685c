"""Fuses the files of several views of one subject."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slicefill.batch.tasks import REMEDY, real
from slicefill.ingestion.checks import about
from slicefill.ingestion.companions import case_files
from slicefill.ingestion.voxels import check_varies
from slicefill.io.case_folder import encode_record
from slicefill.io.scan_files import check_suffix, write_scan
from slicefill.io.storage import replace_file
from slicefill.opening import read_found
from slicefill.params.ingestion import own_scans
from slicefill.types import Case
from slicefill.views.cases import fuse_cases
from slicefill.views.given import Given, masks_as_labels


def fuse_files(
    views: Sequence[Path],
    labels: Sequence[Path | None] | None,
    outputs: Mapping[str, Path],
    *,
    overwrite: bool = False,
    given: Given = "auto",
    **ways: Any,
) -> Case:
    """Fuse views and write what is asked for.

    Args:
        views: Files or DICOM folders; the first is the reference.
        labels: Their label maps, None for a view without one, whatever lies beside it; or None:
            those beside the views.
        outputs: Path by what it holds: `out` (the label map if there are labels, else the image),
            and any of `image`, `confidence`, `views`, `record`.
        overwrite: Whether outputs are replaced.
        given: As for `slicefill.fuse`.
        ways: As for `slicefill.views.cases.fuse_cases`.

    Returns:
        The fused case; of masks, its image is the label map.

    Raises:
        BadCase: If a view cannot be read.
        ValueError: If views, outputs or parameters do not fit; nothing is written.
    """
    named = labels or [None] * len(views)
    inputs = [path for path in [*views, *named] if path is not None]
    _check(inputs, outputs, overwrite)
    read = {}
    for n, (view, label) in enumerate(zip(views, named, strict=True), 1):
        excluded = labels is not None and label is None
        raw, case = read_found(view, label, own_scans(), labelled=not excluded)
        _refuse_inputs(case_files(raw), outputs)
        if n == 1:
            with about(raw.id, raw.place):
                check_varies(case.image)
        read[f"view {n} {view.name}"] = case
    cases, masks = masks_as_labels(read, given)
    if "image" in outputs and masks:
        msg = "--image: expected images, got label maps alone"
        raise ValueError(msg)
    fused = fuse_cases(cases, masks=masks, **ways)
    volumes = {"out": fused.image if fused.label is None else fused.label, "image": fused.image}
    volumes |= {name: volume for name, volume in fused.maps.items() if name in outputs}
    for name, volume in volumes.items():
        if name in outputs:
            write_scan(volume, outputs[name])
    if "record" in outputs:
        replace_file(outputs["record"], encode_record(fused.record))
    return fused


def _check(inputs: Sequence[Path], outputs: Mapping[str, Path], overwrite: bool) -> None:
    _refuse_inputs(inputs, outputs)
    for name, path in outputs.items():
        if name != "record":
            check_suffix(path)
        if [real(other) for other in outputs.values()].count(real(path)) > 1:
            msg = f"{path}: expected a file of its own for every output, got two of this name"
            raise ValueError(msg)
        if path.exists() and not overwrite:
            msg = f"{path} exists; {REMEDY}"
            raise ValueError(msg)


def _refuse_inputs(inputs: Sequence[Path], outputs: Mapping[str, Path]) -> None:
    taken = {real(path) for path in inputs}
    for path in outputs.values():
        if real(path) in taken:
            msg = f"{path}: expected another name than that of an input; nothing was written"
            raise ValueError(msg)
