"""Reading of a raw case: every file in full, checked and converted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, about
from slicefill.ingestion.dicom import dicom_files, read_series
from slicefill.ingestion.itk import SUFFIXES, read_itk
from slicefill.ingestion.labels import merge_labels
from slicefill.ingestion.layouts import NIFTI_SUFFIXES, RawCase
from slicefill.ingestion.nifti import read_nifti
from slicefill.params import IngestionParams
from slicefill.types import Case, Volume


def read_raw_case(raw: RawCase, params: IngestionParams) -> Case:
    """Read image and label of a case.

    Stored numbers of the image are those of the file; labels are merged as configured.

    Returns:
        Image `(I, J, K)`, or `(I, J, K, C)` with `channel: all`; label `(I, J, K)` or None.

    Raises:
        BadCase: If any check fails; it names the case, the file and what to do.
    """
    with about(raw.id, raw.image):
        image = _read_volume(raw.image, params)
        image = choose_channel(image, params.channel)
        checks.check_finite(image)
        checks.check_slices(image, params.through_plane)
    label = None if params.labels.need == "ignored" else _read_label(raw, image, params)
    return Case(image, label)


def checked_case(image: Volume, label: Volume | None, params: IngestionParams) -> Case:
    """Make a case of volumes that a caller holds, checked as those of files are.

    Args:
        image: `(I, J, K)` or `(I, J, K, …)`.
        label: On the same grid, if there is one.
        params: As for `read_raw_case`.

    Raises:
        BadCase: If any check fails; says what to do.
    """
    checks.check_affine(image.affine)
    image = choose_channel(image, params.channel)
    checks.check_voxel_type(image.stored.dtype)
    checks.check_finite(image)
    checks.check_slices(image, params.through_plane)
    return Case(image, None if label is None else _checked_label(label, image, params))


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
        expected = "one channel" if channel is None else "one axis of channels"
        raise BadCase(
            expected=expected,
            found=f"shape {'x'.join(map(str, shape))}",
            remedy="set channel to an index or to all; split 5D files first",
        )
    if isinstance(channel, int) and channel >= count:
        raise BadCase(
            expected=f"channel {channel} (counted from 0)",
            found=f"{count} channels",
            remedy="set channel to one that every case has",
        )
    if isinstance(channel, int) and stored.ndim == 4:
        stored = stored[..., channel]
    return volume.with_stored(stored)


def source_files(path: Path) -> list[Path]:
    """List the files that hold a volume: a DICOM series and a .hdr/.img pair have several."""
    if path.is_dir():
        return dicom_files(path)
    return [path, path.with_suffix(".img")] if path.suffix == ".hdr" else [path]


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """Yield a raw volume as a file or folder on disk: ITK and DICOM readers need one.

    Args:
        path: Yielded as it is if it lies on a disk. Anything else that behaves as a path
            (`universal_pathlib`) is copied while the block runs.
    """
    if isinstance(path, Path):
        yield path
        return
    with TemporaryDirectory(prefix="slicefill-raw-") as folder:
        inside = Path(folder, path.name) if path.is_dir() else Path(folder)
        inside.mkdir(exist_ok=True)
        for file in source_files(path):
            (inside / file.name).write_bytes(file.read_bytes())
        yield Path(folder, path.name)


def _read_volume(path: Path, params: IngestionParams) -> Volume:
    with _on_disk(path) as local:
        volume = _read_file(local, params)
    checks.check_affine(volume.affine)
    checks.check_forms(volume.header, volume.stored.shape, params.affine_tolerance)
    return volume


def _read_file(path: Path, params: IngestionParams) -> Volume:
    if path.is_dir():
        return read_series(path, params)
    if path.name.endswith(NIFTI_SUFFIXES):
        return read_nifti(path)
    if path.name.endswith(SUFFIXES):
        return read_itk(path)
    known = " ".join((*NIFTI_SUFFIXES, *SUFFIXES))
    raise BadCase(expected=f"a {known} file", found=path.name, remedy="convert it to NIfTI")


def _read_label(raw: RawCase, image: Volume, params: IngestionParams) -> Volume | None:
    if raw.label is None:
        if params.labels.need == "required":
            raise BadCase(
                expected="a label map",
                found="none",
                remedy="add it, leave the case out, or set labels.need: optional",
                case=raw.id,
                file=raw.image,
            )
        return None
    with about(raw.id, raw.label):
        return _checked_label(_read_volume(raw.label, params), image, params)


def _checked_label(label: Volume, image: Volume, params: IngestionParams) -> Volume:
    label = choose_channel(label, channel=None)
    checks.check_finite(label)
    checks.check_same_grid(image, label, params.affine_tolerance)
    return merge_labels(label, params.labels)
