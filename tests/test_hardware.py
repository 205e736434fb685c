"""Precision: bf16 only where the processor computes in it, and only inside the layers."""

import pytest
import torch
from torch import nn

from slicefill.hardware import launch_fabric
from slicefill.params import HardwareParams


def launch(precision, accelerator="cpu"):
    return launch_fabric(HardwareParams(accelerator=accelerator, devices=1, precision=precision))


def computes_in(fabric):
    with fabric.autocast():
        return nn.Linear(2, 2)(torch.ones(1, 2)).dtype


@pytest.fixture
def processor(monkeypatch):
    def has(avx512=False, amx=False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    return has


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, torch.float32),
        ({"avx512": True}, torch.bfloat16),
        ({"amx": True}, torch.bfloat16),
    ],
)
def test_auto_is_bf16_where_the_processor_has_it(found, expected, processor):
    processor(**found)
    assert computes_in(launch("auto")) == expected


def test_a_precision_that_is_asked_for_is_kept(processor):
    processor()
    assert computes_in(launch("bf16-mixed")) == torch.bfloat16
    processor(avx512=True, amx=True)
    assert computes_in(launch("32-true")) == torch.float32


def test_the_processor_is_used_when_asked_for_even_beside_a_gpu(monkeypatch, processor):
    processor()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    fabric = launch("auto", "cpu")
    assert fabric.device.type == "cpu"
    assert computes_in(fabric) == torch.float32


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_what_goes_into_a_network_is_not_rounded(precision):
    class Keep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x):
            return x

    fabric = launch(precision)
    x = torch.tensor([1 / 3, 1001.0 / 1003])
    assert torch.equal(fabric.setup(Keep())(x), x)
