"""Training state and trained models on disk: tensors and plain values, never pickled classes."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

Checkpoint = dict[str, Any]


class Slot:
    """One file that is replaced whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Checkpoint | None:
        """Return what was saved last, or None."""
        return read_checkpoint(self._path) if self._path.exists() else None

    def save(self, state: Checkpoint) -> None:
        """Replace the file."""
        write_checkpoint(state, self._path)


class SlotDataset(AbstractDataset[None, Slot]):
    """Hands a node the `Slot` in which its loop keeps its state between epochs."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Slot:
        """Return the slot; the file need not exist."""
        return Slot(self._filepath)

    def save(self, data: None) -> None:
        """Refuse: the loop saves through the slot."""
        msg = f"{self._filepath}: this dataset is an input only; save through its Slot"
        raise NotImplementedError(msg)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ModelsDataset(AbstractDataset[dict[str, Checkpoint], dict[str, Callable[[], Checkpoint]]]):
    """The trained models of an experiment, `<variant>.pt` in one folder.

    Loads to a reader per model found (none is not an error: classical methods need none).
    Exists when the model of `variant` is there, so that `--only-missing-outputs` trains a
    variant that is not.
    """

    def __init__(self, *, path: str, variant: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self._variant = variant
        self.metadata = metadata

    def load(self) -> dict[str, Callable[[], Checkpoint]]:
        """Return a reader per model, by variant."""
        return {p.stem: partial(read_checkpoint, p) for p in sorted(self._path.glob("*.pt"))}

    def save(self, data: dict[str, Checkpoint]) -> None:
        """Write the models given; others stay."""
        for variant, checkpoint in data.items():
            write_checkpoint(checkpoint, self._path / f"{variant}.pt")

    def _exists(self) -> bool:
        return (self._path / f"{self._variant}.pt").exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "variant": self._variant}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read tensors and plain values; refuses anything that would execute code."""
    import torch

    return dict(torch.load(path, map_location="cpu", weights_only=True))


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write so that the file is replaced whole or not at all, also when killed."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f".{path.name}.partial")
    with partial_path.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    partial_path.replace(path)
