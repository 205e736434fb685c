"""Checkpoints and training states on disk: tensors and plain values, never pickled classes."""

import io
from dataclasses import dataclass

from slicefill.io.storage import Location, read_file, remove_leftovers, replace_file
from slicefill.types import Checkpoint


@dataclass(frozen=True)
class StateFile:
    """State of one training: a file that is replaced whole or not at all."""

    path: Location

    def load(self) -> Checkpoint | None:
        """Return what was saved last, or None; remove what a killed process left unfinished."""
        remove_leftovers([self.path])
        try:
            return read_checkpoint(self.path)
        except FileNotFoundError:
            return None

    def save(self, state: Checkpoint) -> None:
        """Replace the file."""
        write_checkpoint(state, self.path)


def read_checkpoint(path: Location) -> Checkpoint:
    """Read tensors and plain values; refuses anything that would execute code.

    Raises:
        ValueError: If the file is no checkpoint.
    """
    import torch

    content = io.BytesIO(read_file(path))
    try:
        return dict(torch.load(content, map_location="cpu", weights_only=True))
    except Exception as error:  # what arbitrary bytes raise is not part of torch's interface
        msg = f"{path}: expected a checkpoint (.pt), got another or a damaged file"
        raise ValueError(msg) from error


def write_checkpoint(checkpoint: Checkpoint, path: Location) -> None:
    """Write so that the file is replaced whole or not at all, also when killed."""
    import torch

    content = io.BytesIO()
    torch.save(checkpoint, content)
    replace_file(path, content.getvalue())
