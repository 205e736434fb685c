"""A method ready to impute cases, from an entry, a checkpoint or a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any

import numpy as np

from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.imputation.methods import FOLDER
from slicefill.imputation.methods.classical import RULES
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.imputation.neighbours import Planes, Teach
from slicefill.imputation.returned import checked
from slicefill.io.checkpoints import read_checkpoint
from slicefill.params import ImputationParams, WindowParams
from slicefill.plugins import System, find_kind, find_system
from slicefill.types import Checkpoint, Method, Stack

SHARP, DIS = "sharp", "dis"
"""Kinds that need no training here: the shipped weights sharpened, and optical flow."""


@dataclass(frozen=True)
class Imputer:
    """A method ready to impute cases.

    Attributes:
        name: Of the entry in `methods`, as in provenance.
        kind: Of the method, the name of its file.
        method: Imputes the intervals of a stack.
        window: Which intensities its network, or its confidence, sees as 0 and 1.
        fingerprint: Of what the method's output depends on besides the case.
        model: SHA-256 of the weights, or None for a method without weights.
        version: Of the package that trained them, or None.
        adaptation: What came of adapting its weights (`methods.adapted`), if they were.
        finish: Makes of the method, for a whole stack, the one that finishes its slices
            (`methods.sharp`), and what the record says of that; None: they are left as they are.
        planes: Imputation in reformatted planes, which takes part in the image; None where
            `params.quality` is `fast`.
        planes_model: SHA-256 of their weights before they learn from a scan.
        teach: Lets planes learn from the slices of a stack by a seed, and says what came of it, for
            the record; None where `params.quality` is not `best`.
    """

    name: str
    kind: str
    method: Method
    window: WindowParams
    fingerprint: str
    model: str | None = None
    version: str | None = None
    adaptation: Mapping[str, Any] | None = None
    finish: Callable[[Stack, Method, np.random.Generator], tuple[Method, dict[str, Any]]] | None = (
        None
    )
    planes: Planes | None = None
    planes_model: str | None = None
    teach: Teach | None = None

    @property
    def weights(self) -> str | None:
        """Whose weights impute: `pretrained`, `adapted` or `own`; None where there are none."""
        if self.model is None:
            return None
        return self.kind if self.kind in (PRETRAINED, ADAPTED) else "own"


def load_imputer(
    system: System, checkpoint: Checkpoint | None, params: ImputationParams
) -> Imputer:
    """Prepare a method on the device and in the precision of `params.hardware`.

    Args:
        system: As `find_method` found it.
        checkpoint: Of its training; None for a method that does not learn, or whose weights are
            there without training.
        params: How it imputes.
    """
    if system.has("finish"):
        base = load_imputer(system.module.base(system.params), None, params)
        finish = partial(system.module.finish, system.params)
        code = getsource(system.module)
        own = fingerprint(system.name, system.kind, base.fingerprint, system.params, code)
        return replace(base, name=system.name, finish=finish, fingerprint=own)
    if checkpoint is None and system.has("read"):
        checkpoint = system.module.read()
    method = system.module.load(system.params, checkpoint, params)
    method = checked(method, f"method {system.name} (kind {system.kind})")
    if checkpoint is None:
        code = getsource(system.module)  # what an edited file makes is made anew
        own = fingerprint(system.name, system.kind, system.params, params.window, code)
        return Imputer(system.name, system.kind, method, params.window, own)
    window = WindowParams.model_validate(checkpoint["window"])
    model = weights_fingerprint(checkpoint["weights"])
    calibrated = [checkpoint["confidence"], params.confidence] if "confidence" in checkpoint else []
    drawn = [
        checkpoint[name] for name in ("samples", "spread_powers", "grain") if name in checkpoint
    ]
    own = fingerprint(system.name, window, model, *calibrated, *drawn)
    shipped = checkpoint.get("kind") == PRETRAINED  # also where adaptation kept them
    kind = PRETRAINED if shipped else system.kind
    known = model, checkpoint.get("version"), checkpoint.get("adaptation")
    made = Imputer(system.name, kind, method, window, own, *known)
    if params.quality == "fast" or not params.choose or kind not in (PRETRAINED, ADAPTED):
        return made
    return _with_planes(made, params)


def _with_planes(imputer: Imputer, params: ImputationParams) -> Imputer:
    """Let the planes of `params.quality` take part in the image."""
    from slicefill.imputation.methods import reformatted, saint

    teach: Teach | None
    if params.quality == "saint":
        planes, model, teach = *saint.load_planes(params), None
    else:
        planes, teach, model = reformatted.load_shipped(params)
    own = fingerprint(imputer.fingerprint, model)
    made = replace(imputer, fingerprint=own, planes=planes, planes_model=model)
    if params.quality != "best":
        return made
    return replace(made, fingerprint=fingerprint(own, params.seed), teach=teach)


def learned_imputer(name: str, checkpoint: Checkpoint, params: ImputationParams) -> Imputer:
    """Prepare a trained model without its entry in `methods`: the checkpoint has all it needs."""
    module = find_kind(FOLDER, checkpoint["kind"])
    return load_imputer(System(name, module, None), checkpoint, params)


def load_named(method: str | Path | Mapping[str, Any], params: ImputationParams) -> Imputer:
    """Prepare a method that a caller named.

    Args:
        method: A kind that needs no training here (`pretrained`, `sharp`), a rule of
            interpolation (`linear`), the path of a checkpoint (it ends in .pt), or an entry as in
            `methods`.
        params: How it imputes.

    Raises:
        ValueError: If there is no such method, the file is no checkpoint, or a `quality` is
            asked of a method in whose image no planes take part.
        FileNotFoundError: If there is no such checkpoint.
    """
    imputer = _load_named(method, params)
    if params.quality != "fast" and imputer.planes is None:
        msg = (
            f"quality: {params.quality}: expected the shipped or adapted weights, and choose: "
            f"true, so that planes take part in the image, got the method {imputer.name}; leave "
            "one of them out"
        )
        raise ValueError(msg)
    return imputer


def _load_named(method: str | Path | Mapping[str, Any], params: ImputationParams) -> Imputer:
    method = str(method) if isinstance(method, Path) else method
    if isinstance(method, str) and method.endswith(".pt"):
        return learned_imputer(Path(method).stem, read_checkpoint(Path(method)), params)
    if isinstance(method, str):
        names = (PRETRAINED, SHARP, *RULES, DIS)
        if method not in names:
            msg = f"method: expected {', '.join(names)} or a checkpoint (.pt), got {method!r}"
            raise ValueError(msg)
        rule = method in RULES
        method = {"kind": "classical", "rule": method} if rule else {"kind": method}
    name = str(method.get("rule", method.get("kind")))
    return load_imputer(find_system(FOLDER, name, method), None, params)


def classical_imputer(rule: str, params: ImputationParams) -> Imputer:
    """Prepare interpolation by one rule without an entry in `methods`."""
    from slicefill.imputation.methods import classical

    return load_imputer(System(rule, classical, classical.Params(rule=rule)), None, params)
