"""States of trainings: a store in memory, and a comparison to the bit."""

import io

import torch


class MemoryStore:
    """Keeps the state as bytes, as a file would, and reads tensors and plain values only."""

    def __init__(self):
        self.content = None

    def load(self):
        if self.content is None:
            return None
        return torch.load(io.BytesIO(self.content), weights_only=True)

    def save(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        self.content = file.getvalue()


def equal(one, other):
    """Whether two nested states are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other
