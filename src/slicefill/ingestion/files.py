"""The files that hold a raw volume, and copies of them where readers need a disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from slicefill.ingestion.dicom import dicom_files


def source_files(path: Path) -> list[Path]:
    """List the files that hold a volume: a DICOM series and a .hdr/.img pair have several."""
    if path.is_dir():
        return dicom_files(path)
    return [path, path.with_suffix(".img")] if path.suffix == ".hdr" else [path]


@contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """Lend a raw volume as a file or folder on disk: ITK and DICOM readers know nothing else.

    Args:
        path: Lent as it is if it lies on a disk. Anything else that behaves as a path
            (`universal_pathlib`) is copied for as long as the block lasts.
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
