"""Weights as the package ships them: a folder with tensors and a description."""

from typing import Any

from kedro.io import AbstractDataset

from slicefill.imputation.methods.pretrained import read_pretrained, write_pretrained
from slicefill.io.storage import location
from slicefill.types import Checkpoint


class ReleaseDataset(AbstractDataset[Checkpoint, Checkpoint]):
    """`weights.safetensors` and `model.json` in a folder; copy both into `methods/pretrained`.

    Args:
        path: The folder, on a disk or in an object store.
        metadata: For plugins.
    """

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = location(path)
        self.metadata = metadata

    def load(self) -> Checkpoint:
        """Read both files."""
        return read_pretrained(self._path)

    def save(self, data: Checkpoint) -> None:
        """Write both files, at most 10 MB of weights."""
        write_pretrained(data, self._path)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}

    def _exists(self) -> bool:
        return (self._path / "model.json").is_file()
