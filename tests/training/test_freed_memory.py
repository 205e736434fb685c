"""Memory that is freed is there for the next batch, without asking the system again."""

import platform

import pytest
import torch

from slicefill.training.freed_memory import keep_freed_memory

PAGES = 10_000  # of 4 KiB, a batch


def faults():
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_batch_takes_the_memory_of_the_one_before():
    keep_freed_memory()
    torch.ones(PAGES * 1024)
    before = faults()
    for _ in range(5):
        torch.ones(PAGES * 1024)
    assert faults() - before < 2 * PAGES  # otherwise each of the five takes all of them
