"""The weights that the package ships are one model of Slice Imputation for scans of any modality.

`weights.safetensors` holds every tensor of a checkpoint, `model.json` everything else, and
`MODEL_CARD.md` says what they were made from and what they are worth.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from upath import UPath

from slicefill import __version__
from slicefill.advice import kedro_run
from slicefill.params import ImputationParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint, Method

PRETRAINED = "pretrained"
"""The kind of the shipped weights, and the name of its entry in `methods`."""
ADAPTED = "adapted"
"""The same of these weights once they have learned from the scans that are imputed."""
MOST_BYTES = 10_000_000
"""Largest file of weights that is shipped."""
_WEIGHTS, _MODEL = "weights.safetensors", "model.json"


class Params(BaseParams):
    """Nothing is to be chosen."""


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Prepare the shipped model (`MethodFile`)."""
    from slicefill.imputation.methods import slice_imputation

    return slice_imputation.load(None, checkpoint, imputation)


def read() -> Checkpoint:
    """Read the shipped weights (`MethodFile`)."""
    return load_pretrained()


def load_pretrained() -> Checkpoint:
    """Read the shipped weights.

    Returns:
        A checkpoint of Slice Imputation with its calibration, tuples turned into lists.

    Raises:
        FileNotFoundError: If the package was installed without them.
    """
    return read_pretrained(resources.files(__name__))


def read_pretrained(folder: Traversable | UPath) -> Checkpoint:
    """Read what `write_pretrained` wrote.

    Args:
        folder: On a disk, in an object store, or within an installed package.

    Raises:
        FileNotFoundError: If one of the two files is not there.
    """
    from safetensors.torch import load

    missing = [name for name in (_WEIGHTS, _MODEL) if not folder.joinpath(name).is_file()]
    if missing:
        msg = (
            f"{folder}: expected the shipped weights, found no {' and no '.join(missing)}; install "
            f"the package again, or train: {kedro_run('synthesis')}"
        )
        raise FileNotFoundError(msg)
    checkpoint: Checkpoint = json.loads(folder.joinpath(_MODEL).read_text("utf-8"))
    for path, tensor in load(folder.joinpath(_WEIGHTS).read_bytes()).items():
        entry, _, name = path.partition("/")
        checkpoint.setdefault(entry, {})[name] = tensor
    return checkpoint


def write_pretrained(checkpoint: Checkpoint, folder: Path | UPath) -> None:
    """Write a checkpoint as the package ships it.

    Args:
        checkpoint: State dicts and plain values that JSON can hold.
        folder: Made if need be; both files in it are replaced.

    Raises:
        ValueError: If the weights are larger than `MOST_BYTES`; nothing is written then.
    """
    from safetensors.torch import save

    states = {entry: value for entry, value in checkpoint.items() if _is_state(value)}
    tensors = {
        f"{entry}/{name}": tensor.contiguous()
        for entry, state in states.items()
        for name, tensor in state.items()
    }
    weights = save(tensors, _origin())
    if len(weights) > MOST_BYTES:
        msg = (
            f"{folder / _WEIGHTS}: expected at most {MOST_BYTES / 1e6:g} MB, got "
            f"{len(weights) / 1e6:.1f} MB; train a smaller network (synthesis.network.width), or "
            "one without critics"
        )
        raise ValueError(msg)
    plain = {entry: value for entry, value in checkpoint.items() if entry not in states}
    described = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WEIGHTS).write_bytes(weights)
    (folder / _MODEL).write_text(described, "utf-8")


def _is_state(value: Any) -> bool:
    """Whether a value is a state dict; an empty one is a plain value."""
    from torch import Tensor

    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(inner, Tensor) for inner in value.values())
    )


def _origin() -> dict[str, str]:
    """Say in the file of weights itself what it is."""
    return {
        "what": "Slicefill: synthesises the slices between the slices of a scan",
        "version": __version__,
        "when": datetime.now(UTC).date().isoformat(),
        "licence": "Apache-2.0",
    }
