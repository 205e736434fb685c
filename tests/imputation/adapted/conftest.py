"""A start and the parameters of a tiny adaptation."""

import pytest
import torch

from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel

WEIGHTS = {"rec": 1, "warp": 0.1, "cycle": 0.1}


@pytest.fixture
def start(params):
    """Weights that see a motion of one pixel everywhere."""
    made = params(variant="plain", groups={"inner": (1, 1)})
    torch.manual_seed(1)
    model = SynthesisModel(1, made.network, made.parts)
    with torch.no_grad():
        model.flow_network.out.bias.fill_(1.0)
    plain = {"channels": 1, "confidence": {"knots": [0.0, 1.0]}, "epoch": 7, "history": []}
    plain["kind"] = "pretrained"
    sections = {name: getattr(made, name).model_dump() for name in ("network", "parts", "window")}
    return {"weights": model.state_dict(), "critics": {}, **sections, **plain}


@pytest.fixture
def adaptation(params):
    """Parameters of a tiny adaptation; sections are merged."""
    given = params(groups={"inner": (1, 1), "crop": (32, 32), "in_plane": 0.0}).model_dump()
    optimisation = {**given["optimisation"], "pretraining_epochs": 0, "validation_groups": 40}

    def make(**changes):
        values = {
            "cases": 24,
            "subjects": 3,
            "held_out": 0.3,
            "least_gain": 0.05,
            "fraction": 1.0,
            "largest_p": 0.1,
            "weights": WEIGHTS,
            "optimisation": {**optimisation, "epochs": 1, "minutes": 60},
            **{k: given[k] for k in ("perceptual", "critic_width", "through_plane", "groups")},
            "hardware": given["hardware"],
        }
        for name, value in changes.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
        return AdaptationParams(**values)

    return make
