"""Reading of a raw case: every file in full, checked and converted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, about, printable
from slicefill.ingestion.companions import source_files
from slicefill.ingestion.dicom import read_series, series_files
from slicefill.ingestion.dicom_gaps import absent_slices, label_in_place
from slicefill.ingestion.found import RawCase
from slicefill.ingestion.itk import read_itk
from slicefill.ingestion.labels import merge_labels
from slicefill.ingestion.mgh import read_mgh
from slicefill.ingestion.nifti import read_nifti
from slicefill.ingestion.sniffing import check_content
from slicefill.ingestion.sparse_labels import check_annotation
from slicefill.ingestion.suffixes import MGH, NIFTI, VOLUMES, suffix_of
from slicefill.ingestion.voxels import check_finite, check_voxel_type
from slicefill.params import IngestionParams
from slicefill.types import Case, Volume

Image = Path | tuple[Path, ...]
_ON_FIFTH_AXIS = (1004, 1005, 1006, 1007)
"""NIfTI's intents of matrices and vectors, which say that the fifth axis holds components."""


def read_raw_case(raw: RawCase, params: IngestionParams) -> Case:
    """Read image and label of a case.

    Stored numbers of the image are those of the file; labels are merged as configured.

    Returns:
        Image `(I, J, K)`, or `(I, J, K, C)` with `channel: all`; label `(I, J, K)` or None. A
        record where slices of a series are absent (`Case.absent`) and `missing_slices: impute`.

    Raises:
        BadCase: If any check fails; it names the case, the file and what to do.
    """
    with about(raw.id, raw.place):
        image, absent = _read_image(raw.image, params)
        image = choose_channel(image, params.channel)
        image = _finite(image, params)
        checks.check_slices(image, params.through_plane)
    ignored = params.labels.need == "ignored"
    label = None if ignored else _read_label(raw, image, params, absent)
    return Case(image, label, record={"absent_slices": absent} if absent else {})


def checked_case(image: Volume, label: Volume | None, params: IngestionParams) -> Case:
    """Make a case of volumes that a caller holds, checked as those of files are.

    Args:
        image: `(I, J, K)` or `(I, J, K, …)`.
        label: On the same grid, if there is one.
        params: As for `read_raw_case`.

    Raises:
        BadCase: If any check fails; says what to do.
    """
    for name, volume in (("scan", image), ("label", label)):
        if volume is not None:
            with about(name):
                checks.check_shape(volume.stored.shape)
                checks.check_header(volume.header)
                checks.check_place(volume, params.affine_tolerance)
    image = choose_channel(image, params.channel)
    check_voxel_type(image.stored.dtype)
    image = _finite(image, params)
    checks.check_slices(image, params.through_plane)
    return Case(image, None if label is None else _checked_label(label, image, params))


def _finite(image: Volume, params: IngestionParams) -> Volume:
    if params.not_finite == "background":
        finite = np.isfinite(image.stored)
        if finite.any() and not finite.all():
            stored = np.where(finite, image.stored, image.stored[finite].min())
            image = image.with_stored(stored.astype(image.stored.dtype))
    check_finite(image)
    return image


def choose_channel(volume: Volume, channel: int | Literal["all"] | None) -> Volume:
    """Take one channel of a 4D volume, or all; axes of length 1 after the third are dropped.

    Args:
        volume: `(I, J, K)` or `(I, J, K, …)`.
        channel: An index, "all", or None where a volume must have one channel.

    Raises:
        BadCase: If the volume has no such channel, or more axes than four.
    """
    shape = volume.stored.shape
    single = tuple(axis for axis in range(3, len(shape)) if shape[axis] == 1)
    stored = np.squeeze(volume.stored, axis=single)
    count = stored.shape[3] if stored.ndim > 3 else 1
    if stored.ndim > 4 or (channel is None and count > 1):
        many = stored.ndim > 4
        raise BadCase(
            expected="one axis of channels or time points" if many else "one channel",
            found=f"shape {'x'.join(map(str, shape))}",
            remedy="write a file for every index of the last axis, (x, y, z, channel) each"
            if many
            else "set ingestion.channel to an index or to all",
        )
    if isinstance(channel, int) and channel >= count:
        raise BadCase(
            expected=f"channel {channel} (counted from 0)",
            found=f"{count} channels",
            remedy="set ingestion.channel to one that every case has, or to all",
        )
    if isinstance(channel, int) and stored.ndim == 4:
        stored = stored[..., channel]
    chosen = volume.with_stored(stored)
    if stored.ndim < 5 and int(chosen.header["intent_code"]) in _ON_FIFTH_AXIS:
        chosen.header.set_intent("none")
    return chosen


@contextmanager
def _on_disk(image: Image) -> Iterator[Image]:
    """Yield a raw volume as files on disk with names in UTF-8: ITK and DICOM readers need that.

    Args:
        image: Yielded as it is where it is so. Anything else that behaves as a path
            (`universal_pathlib`) is copied while the block runs, and an odd name is linked.
    """
    files = source_files(image)
    local = all(isinstance(file, Path) for file in files)
    if local and all(printable(str(file)) == str(file) for file in files):
        yield image
        return
    with TemporaryDirectory(prefix="slicefill-raw-") as folder:
        copies = [Path(folder, f"{n}-{printable(file.name)}") for n, file in enumerate(files)]
        if not isinstance(image, tuple):  # a header finds its voxels by their names
            copies = [Path(folder, printable(file.name)) for file in files]
        for file, copy in zip(files, copies, strict=True):
            if local:
                copy.symlink_to(file.absolute())
            else:
                copy.write_bytes(file.read_bytes())
        yield tuple(copies) if isinstance(image, tuple) else copies[0]


def _read_volume(image: Image, params: IngestionParams) -> Volume:
    return _read_image(image, params)[0]


def _read_image(image: Image, params: IngestionParams) -> tuple[Volume, list[int]]:
    """Read a volume; with the slices of its series that are absent."""
    if isinstance(image, Path) and image.is_dir():
        image = series_files(image)
    with _on_disk(image) as local:
        volume, absent = _read_files(local, params)
    checks.check_place(volume, params.affine_tolerance)
    return volume, absent


def _read_files(image: Image, params: IngestionParams) -> tuple[Volume, list[int]]:
    if isinstance(image, tuple):
        volume, places = read_series(image, params)
        return volume, absent_slices(places)
    return _read_file(image), []


def _read_file(image: Path) -> Volume:
    suffix = suffix_of(image)
    if not suffix:
        known = " ".join(VOLUMES)
        raise BadCase(expected=f"a {known} file", found=image.name, remedy="convert it to NIfTI")
    check_content(image)
    if suffix in NIFTI:
        return read_nifti(image)
    return read_mgh(image) if suffix in MGH else read_itk(image)


def _read_label(
    raw: RawCase, image: Volume, params: IngestionParams, absent: Sequence[int]
) -> Volume | None:
    if raw.label is None:
        if params.labels.need == "required":
            raise BadCase(
                expected="a label map",
                found="none",
                remedy="add it, or leave the case out (or in a Kedro run: --params "
                "ingestion.labels.need=optional)",
                case=raw.id,
                file=raw.place,
            )
        return None
    with about(raw.id, raw.label):
        return _checked_label(_read_volume(raw.label, params), image, params, absent)


def _checked_label(
    label: Volume, image: Volume, params: IngestionParams, absent: Sequence[int] = ()
) -> Volume:
    label = label_in_place(_single_label(label), image, absent)
    check_finite(label, remedy="store 0 there, or the id that is meant")
    with _telling_absent(image, absent):
        checks.check_same_grid(image, label, params.affine_tolerance)
    merged = merge_labels(label, params.labels)
    if params.labels.sparse == "refuse":
        check_annotation(merged, params.through_plane, absent)
    return merged


@contextmanager
def _telling_absent(image: Volume, absent: Sequence[int]) -> Iterator[None]:
    """Say of a label map that does not fit which slices its series lacks."""
    try:
        yield
    except BadCase as error:
        if not absent:
            raise
        depth = image.stored.shape[Case.ACROSS]
        listed = ", ".join(map(str, absent))
        raise BadCase(
            expected=error.expected,
            found=f"{error.found}; the series has {depth} places, {len(absent)} of them absent "
            f"(from 0: {listed})",
            remedy=f"{error.remedy}, or give one of the {depth - len(absent)} acquired slices "
            "alone, in the order and the place of the series",
        ) from error


def _single_label(label: Volume) -> Volume:
    """Drop axes of length 1; a label map has one id per voxel."""
    try:
        return choose_channel(label, channel=None)
    except BadCase as error:
        raise BadCase(
            expected="one label id per voxel",
            found=error.found,
            remedy="give one map of ids: of masks in channels, one id each",
        ) from error
