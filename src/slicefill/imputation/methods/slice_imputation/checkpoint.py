"""Checkpoints: dicts of tensors and plain values, and the networks rebuilt from them."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from slicefill import __version__
from slicefill.imputation.methods.slice_imputation.critics import Critics
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.state import Training
from slicefill.params import SynthesisParams
from slicefill.types import Checkpoint


def best_checkpoint(training: Training, params: SynthesisParams, fingerprint: str) -> Checkpoint:
    """Make the checkpoint of the best epoch.

    Returns:
        `weights` and `critics` (state dicts), `params` (plain), `channels`, `epoch`,
        `validation`, `history`, `fingerprint`, `version`.
    """
    best = training.best
    return {
        "kind": "slice_imputation",
        "window": params.window.model_dump(),
        "weights": best["weights"]["synthesis"],
        "critics": best["weights"].get("critics", {}),
        "params": params.model_dump(),
        "channels": training.channels,
        "epoch": best["epoch"],
        "validation": {"psnr": best["psnr"], "ssim": best["ssim"]},
        "history": training.history,
        "fingerprint": fingerprint,
        "version": __version__,
    }


def load_model(checkpoint: Checkpoint) -> SynthesisModel:
    """Rebuild the synthesis network, in evaluation mode."""
    params = load_params(checkpoint)
    model = SynthesisModel(checkpoint["channels"], params.network, params.parts)
    model.load_state_dict(checkpoint["weights"])
    return model.eval()


def load_critics(checkpoint: Checkpoint) -> Critics | None:
    """Rebuild the critics, in evaluation mode; None if the variant had none."""
    if not checkpoint["critics"]:
        return None
    params = load_params(checkpoint)
    critics = Critics(checkpoint["channels"], params.critic_width, params.parts)
    critics.load_state_dict(checkpoint["critics"])
    return critics.eval()


def load_params(checkpoint: Checkpoint) -> SynthesisParams:
    """Return the parameters that the model was trained with."""
    return SynthesisParams.model_validate(checkpoint["params"])


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and numbers of a state dict, for provenance."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
