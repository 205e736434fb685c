"""Slicefill in Python, without Kedro: impute, fuse, verify and evaluate scans, propagate labels.

Example:
    ```python
    import slicefill

    out = slicefill.impute("scan.nii.gz", label="label.nii.gz", spacing=1.0)
    slicefill.write(out, "scan_isotropic.nii.gz")
    slicefill.write(out.label, "scan_isotropic_label.nii.gz")
    ```
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.io.exchange import to_volume
from slicefill.opening import open_scan, read_one
from slicefill.params.base import AxisName
from slicefill.params.imputation import imputation_params
from slicefill.params.ingestion import own_scans, sparsely_labelled
from slicefill.types import Case


def read(image: str | Path, label: str | Path | None = None) -> Case:
    """Read a scan and its label map, checked as a run checks them.

    Args:
        image: A file of any format that is read, or the folder or the zip of a DICOM series.
        label: A label map on the same grid; its ids stay as they are.

    Returns:
        Image `(I, J, K)` or `(I, J, K, C)` as stored, and the label map `(I, J, K)`.

    Raises:
        BadCase: If a file is damaged, odd, or does not fit the other; says what to do.
        FileNotFoundError: If there is no scan.
        ValueError: If there are several.
    """
    return read_one(image, label, own_scans())


def write(scan: Any, path: str | Path) -> None:
    """Write a scan as stored: nothing is rescaled.

    Args:
        scan: A `Volume`, a nibabel image or a SimpleITK image.
        path: Ends in .nii.gz, .nii, .nrrd, .mha or .mgz.

    Raises:
        ValueError: If the format cannot hold the scan, or is none of those; nothing is written.
    """
    from slicefill.io.scan_files import write_scan

    write_scan(to_volume(scan), Path(path))


def impute(
    scan: Any,
    label: Any = None,
    *,
    method: str | Path | Mapping[str, Any] = "pretrained",
    voxel_spacing: Sequence[float] | None = None,
    fill_missing: bool = False,
    **params: Any,
) -> Any:
    """Synthesise the slices between the acquired slices of a scan; acquired ones are untouched.

    Args:
        scan: A path, a NumPy array `(I, J, K)` or `(I, J, K, C)`, a nibabel image, a SimpleITK
            image, or a `Case`.
        label: Its label map, if there is one: of the same kind, or a path. Not beside a `Case`,
            which holds its own.
        method: `pretrained`, the shipped weights; `sharp`, the same sharpened; a rule such as
            `linear`; the path of a checkpoint; or an entry as in `methods` of `conf/`.
        voxel_spacing: Of an array: the pitch of its voxels along its axes, mm.
        fill_missing: Whether slices that a DICOM series lacks are imputed; else it is refused.
        params: `spacing`, mm between slices wanted; or `count`, synthetic slices per interval;
            without both, as many as come nearest to cubic voxels. `exact=True`: exactly `spacing`,
            where acquired slices stay only if they fall on the grid. `axis` across the slices: S,
            A, L, or auto, the one with the largest spacing. `device`: auto, cpu, gpu or mps. And
            the fields of `ImputationParams`, such as `quality`, `most_slices` and `most_gb`.

    Returns:
        The kind that went in (a nibabel image for a path; arrays are of a subclass), on the denser
        grid, with the attributes `label` (None without one), `mask` (1 in synthetic slices),
        `confidence` ([0, 1], acquired slices 1), all of the same kind, and `record`, which says
        how each slice came about. Of a `Case`, as `slicefill.imputation.impute.impute_case`.

    Raises:
        BadCase: If a file is damaged or odd, image and label do not fit, or the result would be too
            large; says what to do.
        ValueError: If there is no such method, or a parameter does not fit.

    Example:
        >>> import numpy as np
        >>> thick = np.random.default_rng(0).integers(0, 99, (16, 16, 5), dtype=np.int16)
        >>> out = impute(thick, voxel_spacing=(1, 1, 4), method="linear")
        >>> out.shape, out.dtype.name, bool((out[..., ::4] == thick).all())
        ((16, 16, 17), 'int16', True)
    """
    rule = imputation_params(**params)
    reading = own_scans("impute" if fill_missing else "refuse")
    case, kind = open_scan(scan, label, voxel_spacing, reading)
    imputed = impute_case(case, load_named(method, rule), rule)
    return imputed if kind is None else kind.pack(imputed)


def propagate(
    scan: Any,
    label: Any = None,
    *,
    annotated: Sequence[int] | None = None,
    every: int | None = None,
    axis: AxisName = "auto",
    voxel_spacing: Sequence[float] | None = None,
) -> Any:
    """Fill the labels between annotated slices of a complete scan; those slices are untouched.

    Args:
        scan: As for `impute`, complete.
        label: Its label map on the same grid, annotated on some slices.
        annotated: Indices of the annotated slices, counted from 0; blank ones among them say where
            a label has ended.
        every: Slices 0, n, 2n, … are annotated. Without both, those are that show a label.
        axis: Across slices: S, A, L, or auto, the one that the annotated slices fit.
        voxel_spacing: Of an array, mm.

    Returns:
        The filled label map, of the kind of the scan, with the attributes `mask` (1 in propagated
        slices), `confidence` ([0, 1]; annotated slices 1, those before the first and after the last
        of them 0) and `record`, which has the confidence of every slice and those worth annotating
        next (`annotate_next`). Ids stay as they are, in the smallest of uint8 and uint16 that holds
        them. Of a `Case`, as `slicefill.propagation.propagate.propagate_case`.

    Raises:
        BadCase: If image and label do not fit, fewer than two slices are annotated, none is left to
            fill, or several axes fit; says what to do.
        ValueError: If both `annotated` and `every` are given.
    """
    from slicefill.params.propagation import PropagationParams
    from slicefill.propagation.propagate import propagate_case

    if annotated is not None and every is not None:
        msg = f"annotated, every: expected one of them, got {list(annotated)} and {every}"
        raise ValueError(msg)
    case, kind = open_scan(scan, label, voxel_spacing, sparsely_labelled())
    params = PropagationParams(through_plane=axis)
    filled = propagate_case(case, params, annotated=annotated, every=every)
    if kind is None or filled.label is None:
        return filled
    return kind.pack(replace(filled, image=filled.label, label=None))


def fuse(
    scans: Sequence[Any],
    labels: Sequence[Any] | None = None,
    *,
    registration: str | Mapping[str, Any] = "rigid",
    rule: str | Mapping[str, Any] = "gaussian",
    method: str | Mapping[str, Any] | None = None,
    given: Literal["auto", "images", "masks"] = "auto",
    **params: Any,
) -> Any:
    """Fuse views of one subject, thick stacks in several directions, into one isotropic scan.

    Every other view is registered to the first one, and all are imputed. Acquired slices of the
    first view stay as they are, to the bit, with their labels.

    Args:
        scans: Two, three or more views, each as for `impute`, but no arrays; the first is the
            reference. Label maps alone are views, too: of them, the label map is fused.
        labels: Their label maps, None for a view without one, whatever lies beside it; with ids of
            the same meaning. If omitted, those in the folders of the views.
        registration: `rigid`, from many starts; `header`: views lie as their headers say; or an
            entry: a `kind` with fields of its `Params`, such as `{"kind": "rigid", "metric":
            "mutual_information"}` for other contrasts.
        rule: `gaussian`, `vote`, `nearest` or `staple`; or an entry.
        method: Imputes the views, as for `impute`; `pretrained` if omitted, of label maps alone
            `nearest`.
        given: Whether scans are `images` or `masks`, label maps; `auto`: label maps if no label map
            comes with them and all look like one.
        params: `spacing`, `count`, `device` and further fields of `ImputationParams`, as for
            `impute`; `least_overlap`, `field` and further fields of `FusionParams`.

    Returns:
        The kind that the first scan is, with the attributes `label`, `mask`, `confidence` and
        `record`; `record["fusion"]` names the views that were left out, and why. Of label maps, the
        fused label map. Of a `Case`, a `Case`.

    Raises:
        BadCase: If a file is damaged or odd, or image and label do not fit.
        ValueError: If there is no view, no such kind, or a parameter does not fit.
    """
    from slicefill.views.cases import fuse_cases
    from slicefill.views.given import masks_as_labels

    scans = [scans] if isinstance(scans, str | Path) else scans  # letters are no views
    named = [None] * len(scans) if labels is None else list(labels)
    if len(named) != len(scans) or not scans:
        msg = f"labels: expected one or None for each of {len(scans)} views, got {len(named)}"
        raise ValueError(msg)
    beside = labels is None  # else None stands for a view without a label map
    opened = [open_scan(*each, labelled=beside) for each in zip(scans, named, strict=True)]
    views = {
        _view_name(scan, n): each[0]
        for n, (scan, each) in enumerate(zip(scans, opened, strict=True), 1)
    }
    views, masks = masks_as_labels(views, given)
    fused = fuse_cases(
        views, registration=registration, rule=rule, method=method, masks=masks, **params
    )
    return fused if opened[0][1] is None else opened[0][1].pack(fused)


def _view_name(scan: Any, number: int) -> str:
    """Name a view for messages: by its file and its number."""
    named = f" {Path(scan).name}" if isinstance(scan, str | Path) else ""
    return f"view {number}{named}"


def verify(imputed: Any, source: Any, *, voxel_spacing: Sequence[float] | None = None) -> list[str]:
    """List how an imputed scan differs from its source where it must not; empty if nowhere.

    Args:
        imputed: A `Case`, or what `impute` returned, or a path of what `slicefill impute` wrote.
        source: What it was imputed from: a `Case`, a path, an image, or an array.
        voxel_spacing: Of a source that is an array, mm.

    Returns:
        What differs. Where the source comes without labels, only the image is compared.
    """
    from slicefill.batch.pairs import read_files
    from slicefill.imputation.verification import verify_imputed_case, with_grid
    from slicefill.views.canvas import reference_part

    original = open_scan(source, None, voxel_spacing, own_scans("impute"))[0]
    on_disk = isinstance(imputed, str | Path)
    output = read_files(Path(imputed)) if on_disk else open_scan(imputed)[0]
    if record := getattr(imputed, "record", None):  # of what `impute` returned
        output = replace(output, record=record)
    if output.label is None or original.label is None:
        original, output = replace(original, label=None), replace(output, label=None)
    own = reference_part(output, original)  # of views that were fused on the field of all
    return verify_imputed_case(with_grid(own, original), original)


def evaluate(
    truth: Any,
    imputed: Any,
    *,
    label_names: Mapping[int, str] | None = None,
    voxel_spacing: Sequence[float] | None = None,
) -> dict[str, float]:
    """Score the synthetic slices of an imputed scan against the truth.

    Args:
        truth: The dense scan: a `Case`, a path or an image.
        imputed: What was imputed from some of its slices, on the same grid. Slices that are not
            those of the truth to the bit are synthetic.
        label_names: Id → name of the labels that are scored; all ids by number if omitted.
        voxel_spacing: Of a truth that is an array, mm.

    Returns:
        Score by column (`psnr_body`, `ssim_body`, `dice_mean`, …), and `slices`, how many were
        scored.

    Raises:
        ValueError: If the grids differ, or no slice is synthetic.
    """
    from slicefill.metrics.matching import score_against_truth

    case, dense = open_scan(imputed)[0], open_scan(truth, None, voxel_spacing)[0]
    return score_against_truth(case, dense, label_names)
