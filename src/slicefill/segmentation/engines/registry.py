"""The segmentation engines by name."""

from functools import partial

from slicefill.segmentation.engines.nnunetv2.engine import load_nnunet, train_nnunet
from slicefill.segmentation.interface import Engine
from slicefill.segmentation.train import load_network, train_network

ENGINES = {
    **{
        name: Engine(partial(train_network, name), load_network)
        for name in ("unet2d", "dynunet3d", "mean_teacher")
    },
    "nnunetv2": Engine(train_nnunet, load_nnunet),
}
"""To add one: a file with its two functions, and a line here."""


def find_engine(name: str) -> Engine:
    """Return an engine.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in ENGINES:
        msg = f"no segmentation engine {name!r}: choose among {', '.join(ENGINES)}"
        raise ValueError(msg)
    return ENGINES[name]
