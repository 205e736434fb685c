"""Which machine of a training on several this one is; light, for it is asked before torch is."""

import os


def machine_rank() -> int:
    """Number of this machine from 0: `NODE_RANK`, or `GROUP_RANK` as torchrun sets it.

    The first one writes and tracks; the others take part in the training and leave no trace.
    """
    return int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
