"""Rank of this machine in multi-node training.

Reads only environment variables, so it can be called before torch is imported.
"""

import os


def machine_rank() -> int:
    """Return the rank of this machine, from 0: `NODE_RANK`, or `GROUP_RANK` as torchrun sets it.

    Machine 0 writes and tracks; the others take part in the training and write nothing.
    """
    return int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
