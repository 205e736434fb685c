"""Conventional augmentation: every patch of a batch is transformed on its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from slicefill.segmentation.interface import PatchBatch

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform


def transform_batch(
    batch: PatchBatch, transforms: Sequence["RandomizableTransform"], rng: np.random.Generator
) -> PatchBatch:
    """Transform every sample of a batch on its own, all randomness drawn from `rng`.

    Args:
        batch: On the CPU.
        transforms: What `transforms.make_all` returns, in their order.
        rng: Two generators in the same state give the same result.

    Returns:
        A batch of the same shapes. Label and weight are 0 where no voxel came from the patch.
    """
    state = np.random.RandomState(rng.bit_generator)  # the kind of generator that MONAI takes
    for each in transforms:
        each.set_random_state(state=state)
    truths = torch.cat([batch.label.float(), batch.weight], dim=1)
    moved = []
    with _plain_tensors():
        for image, truth in zip(batch.image, truths, strict=True):
            patch = {"image": image, "truth": truth}
            for each in transforms:
                patch = each(patch)
            moved.append(patch)
    image, truth = (torch.stack([patch[key] for patch in moved]) for key in ("image", "truth"))
    return PatchBatch(image, truth[:, :1].long(), truth[:, 1:])


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI from wrapping tensors with metadata, which costs more than the transforms."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
