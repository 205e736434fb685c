"""The formats of trained networks, and how each becomes a predictor."""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from pydantic import ValidationError

from slicefill.params import PredictionParams
from slicefill.plugins import find_kind
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Checkpoint, Floats

if TYPE_CHECKING:
    from slicefill.segmentation.engines.trained import Params

_MOST = 256  # classes of a network that does not say how many it has


def load_network(params: "Params", segmentation: PredictionParams) -> Predictor:
    """Load a network onto the device of `segmentation.hardware`.

    Raises:
        ValueError: If the file is of another format, or the module of the function cannot be
            imported.
        ModuleNotFoundError: If nnU-Net is not installed.
    """
    read: dict[str, Callable[[str, PredictionParams], Predictor]] = {
        "slicefill": _load_own,
        "nnunetv2": _read_nnunet,
        "torchscript": _read_torchscript,
        "python": _read_function,
    }
    return read[params.format](str(Path(params.path).expanduser()), segmentation)


def note(params: "Params") -> Checkpoint:
    """Say which network it is: what a checkpoint holds in the place of weights."""
    return {
        "engine": "trained",
        "format": params.format,
        "path": params.place,
        "digest": digest(params),
        "weights": {},
        "history": [],
    }


def describe(place: str) -> Checkpoint:
    """Describe a foreign network without an entry in `conf/`.

    Args:
        place: A folder of nnU-Net's results, a TorchScript file, or `module:function`.

    Returns:
        A checkpoint. Its labels are nnU-Net's, or the indices of the classes; it sees intensities
        as they are.

    Raises:
        ValueError: If there is no network.
    """
    from slicefill.segmentation.engines.nnunetv2.results import read_labels
    from slicefill.segmentation.engines.trained import Params

    path = Path(place).expanduser()
    kind = "nnunetv2" if path.is_dir() else "torchscript" if path.exists() else "python"
    try:
        params = Params.model_validate({"format": kind, "path": place})
    except ValidationError as error:
        msg = (
            f"{place}: expected a network: a checkpoint (.pt), a folder of nnU-Net's results, a "
            "TorchScript file or module:function; found none"
        )
        raise ValueError(msg) from error
    names = read_labels(path) if kind == "nnunetv2" else {}
    unknown = {index: f"class {index}" for index in range(_MOST)}
    made = {"classes": sorted(names), "label_names": names or unknown}
    return {**note(params), **made, "window": None, "through_plane": "auto"}


def digest(params: "Params") -> str:
    """Return the SHA-256 of the network's files, so that another network is another result.

    Of a function its name counts, too: a file may hold several.
    """
    found = hashlib.sha256()
    if params.format == "python":
        module, _, name = params.path.partition(":")
        found.update(name.encode())
        files = _source(module)
    else:
        path = Path(params.path).expanduser()
        kinds = ("*.json", "*.pth")
        files = [path] if path.is_file() else sorted(f for kind in kinds for f in path.rglob(kind))
    for file in files:
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def _source(module: str) -> list[Path]:
    """Return the file of a module; none where there is none, which loading it says."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # of a package that holds it, whose code is not ours
        return []
    return [Path(spec.origin)] if spec and spec.origin else []


def read_own(path: Path) -> Checkpoint:
    """Read a checkpoint of ours.

    Raises:
        ValueError: If it is not of a segmentation network.
    """
    from slicefill.io.checkpoints import read_checkpoint

    try:
        checkpoint = read_checkpoint(path)
    except ValueError as error:
        msg = f"{error}; a TorchScript file needs another suffix, such as .ts"
        raise ValueError(msg) from error
    if "engine" not in checkpoint:
        msg = f"{path}: expected a segmentation network, got a checkpoint with {sorted(checkpoint)}"
        raise ValueError(msg)
    return checkpoint


def _load_own(path: str, segmentation: PredictionParams) -> Predictor:
    from slicefill.segmentation import engines

    checkpoint = read_own(Path(path))
    engine = find_kind(engines.FOLDER, checkpoint["engine"])
    return cast("Predictor", engine.load(checkpoint, segmentation))


def _read_nnunet(path: str, segmentation: PredictionParams) -> Predictor:
    from slicefill.segmentation.engines.nnunetv2.results import read_results

    return read_results(Path(path), segmentation)


def _read_torchscript(path: str, segmentation: PredictionParams) -> Predictor:
    import torch
    from scipy.special import softmax

    from slicefill.training.hardware import launch_fabric

    fabric = launch_fabric(segmentation.hardware.alone)
    load = cast("Callable[..., torch.nn.Module]", torch.jit.load)  # it has no types
    try:
        network = load(path, map_location=fabric.device).eval()
    except RuntimeError as error:
        msg = f"{path}: expected a TorchScript file (torch.jit.save), got another or a damaged one"
        raise ValueError(msg) from error

    @torch.no_grad()
    def predict(scan: Scan) -> Floats:
        volume = torch.from_numpy(np.ascontiguousarray(scan.image.swapaxes(0, 1)))[None]
        logits = network(volume.to(fabric.device))[0]
        return np.asarray(softmax(logits.float().cpu().numpy(), axis=0))

    return predict


def _read_function(path: str, segmentation: PredictionParams) -> Predictor:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # of code that is not ours
        msg = f"{path}: expected a module that can be imported, got {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not callable(found):
        msg = f"{path}: expected module:function, a function from a scan to class probabilities"
        raise ValueError(msg)
    return cast("Predictor", found)
