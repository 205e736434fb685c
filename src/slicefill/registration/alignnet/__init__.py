"""SuperMask's AlignNet: a network that aligns two views at once, applied again and again.

Without a trained network it learns from the two views that it is given, which takes long; the
pipeline `fusion` trains one on the views of training subjects.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicefill.params.base import HardwareParams
from slicefill.registration.alignnet.params import Params as Params
from slicefill.types import Case, Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.training.fit import Run

_APPLIED = {"network", "repeats", "refined"}  # what does not matter to training


def training_fingerprint(views: Mapping[str, Any], params: Params) -> str:
    """Return the fingerprint of what a training depends on (`RegistrationFile`)."""
    from slicefill.fingerprint import code_fingerprint, fingerprint

    own = params.model_dump(exclude=_APPLIED)
    code = [code_fingerprint(f"slicefill.{each}") for each in ("registration", "grids")]
    return fingerprint(views, own, code)


def train(
    groups: Iterable[Sequence[Case]],
    params: Params,
    run: "Run",
    *,
    own: str = "",
    hardware: HardwareParams | None = None,
) -> Checkpoint:
    """Train on the views of several subjects (`RegistrationFile`)."""
    from slicefill.registration.alignnet.training import train_alignnet

    return train_alignnet(groups, params, run, own=own, hardware=hardware or HardwareParams())


def register(
    reference: Case, moving: Case, params: Params, model: Checkpoint | None = None
) -> NDArray[np.float64]:
    """Apply the network `repeats` times, and compose what it finds (`RegistrationFile`).

    Deterministic on one machine.

    Raises:
        ValueError: If a view is empty, or the network's file cannot be read.
    """
    import torch

    from slicefill.registration.alignnet.cubes import to_world
    from slicefill.registration.alignnet.network import align
    from slicefill.registration.alignnet.training import load_alignnet, make_cubes

    network, design = load_alignnet(model or _find(reference, moving, params))
    fixed, moved = make_cubes([reference, moving], design)
    other, own = (torch.from_numpy(cube.image)[None, None] for cube in (moved, fixed))
    with torch.inference_mode():
        found = align(network, other, own, params.repeats)[0].double().numpy()
    matrix = to_world(orthonormal(found), fixed, moved)
    return _refined(reference, moving, matrix) if params.refined else matrix


def orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest rigid matrix, `(4, 4)`: products in float32 drift."""
    rigid = matrix.copy()
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rigid[:3, :3], rigid[3] = left @ right, (0, 0, 0, 1)
    return rigid


def read_network(place: str) -> Checkpoint:
    """Read a trained AlignNet.

    Raises:
        ValueError: If there is none.
    """
    from slicefill.io.checkpoints import read_checkpoint

    path = Path(place).expanduser()
    read = read_checkpoint(path) if path.exists() else {}
    if not {"design", "weights"} <= read.keys():
        got = f"a checkpoint with {', '.join(sorted(read))}" if read else "no such file"
        msg = (
            f"alignnet.network {path}: expected a network that the pipeline fusion has trained, "
            f"got {got}"
        )
        raise ValueError(msg)
    return read


def _find(reference: Case, moving: Case, params: Params) -> Checkpoint:
    """Return the trained network, or train one on the two views."""
    from slicefill.training.fit import Run, Stateless, ignore

    if params.network is not None:
        return read_network(params.network)
    return train([[reference, moving]], params, Run(Stateless(), ignore))


def _refined(reference: Case, moving: Case, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go on by `rigid` from where the network has put the view."""
    from slicefill.ingestion.nifti import new_volume
    from slicefill.registration import register as register_by

    placed = np.linalg.inv(matrix) @ moving.image.affine
    stored = moving.image.intensities()
    view = Case(new_volume(stored, placed))
    further = register_by(reference, view, {"kind": "rigid", "starts": [0.0]})
    return np.asarray(matrix @ further)
