"""Precision inside the layers only; processes that share what they should, and are refused else."""

from functools import partial

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from slicefill.fingerprint import fingerprint
from slicefill.io.checkpoints import StateFile
from slicefill.params import HardwareParams
from slicefill.training.fit import Run, share_run
from slicefill.training.hardware import (
    first_for_all,
    launch,
    launch_fabric,
    mean_over_processes,
    sum_over_processes,
)

ONE = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


def start(precision, accelerator="cpu"):
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
    assert computes_in(start("auto")) == expected


def test_a_precision_that_is_asked_for_is_kept(processor):
    processor()
    assert computes_in(start("bf16-mixed")) == torch.bfloat16
    processor(avx512=True, amx=True)
    assert computes_in(start("32-true")) == torch.float32


def test_the_processor_is_used_when_asked_for_even_beside_a_gpu(monkeypatch, processor):
    processor()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    fabric = start("auto", "cpu")
    assert fabric.device.type == "cpu"
    assert computes_in(fabric) == torch.float32


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    for backend in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    for name in ("gpu", "mps"):
        with pytest.raises(ValueError, match=f"{name}: expected such a device .* take auto or cpu"):
            start("auto", name)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_what_goes_into_a_network_is_not_rounded(precision):
    class Keep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x):
            return x

    fabric = start(precision)
    x = torch.tensor([1 / 3, 1001.0 / 1003])
    assert torch.equal(fabric.setup(Keep())(x), x)


def compute_together(fabric):
    rank = fabric.global_rank
    x = torch.tensor([1.0 + rank, 5.0], requires_grad=True)
    total = sum_over_processes(fabric, x)
    total.square().sum().backward()
    gradients = fabric.all_gather(x.grad).reshape(-1, 2)
    return {
        "total": total.detach(),
        "gradients": gradients,
        "mean": mean_over_processes(fabric, {"a": 1.0 + rank, "b": 3.0}),
        "nothing": mean_over_processes(fabric, {}),
        "first": first_for_all(fabric, lambda: f"of {rank}"),
    }


def test_one_process_shares_with_nobody():
    made = launch(HardwareParams(**ONE), compute_together)
    assert made["total"].tolist() == [1, 5]
    assert made["gradients"].tolist() == [[2, 10]]
    assert (made["mean"], made["nothing"], made["first"]) == ({"a": 1, "b": 3}, {}, "of 0")


def test_two_processes_add_average_and_follow_the_first():
    two = HardwareParams(**{**ONE, "devices": 2}, strategy="ddp_fork")
    made = launch(two, compute_together)
    assert made["total"].tolist() == [3, 10]
    # Each loss is 3² + 10², and each part has a share in both: distributed training halves it.
    assert made["gradients"].tolist() == [[12, 40]] * 2
    assert (made["mean"], made["nothing"], made["first"]) == ({"a": 1.5, "b": 3}, {}, "of 0")


def keep_notes(fabric, folder):
    """Each process has a slot of its own: what the second finds there does not count."""
    rank = fabric.global_rank
    store = StateFile(folder / f"{rank}.pt")
    store.save({"of": rank})
    shared = share_run(fabric, Run(store, lambda values, epoch: (folder / f"said{rank}").touch()))
    found = shared.store.load()
    shared.store.save({"of": 10 + rank})
    shared.report({}, 1)
    return {"found": fabric.all_gather(torch.tensor(found["of"])), "own": store.load()}


def test_the_first_process_reads_for_all_and_writes_and_reports_alone(tmp_path):
    two = HardwareParams(**{**ONE, "devices": 2}, strategy="ddp_fork")
    assert launch(two, partial(keep_notes, folder=tmp_path))["found"].tolist() == [0, 0]
    assert [StateFile(tmp_path / f"{rank}.pt").load()["of"] for rank in (0, 1)] == [10, 1]
    assert [path.name for path in tmp_path.glob("said*")] == ["said0"]


def test_what_works_on_one_device_refuses_more():
    for more in ({"devices": 2}, {"num_nodes": 2}):
        with pytest.raises(ValueError, match=r"expected devices 1 and num_nodes 1.*only training"):
            launch_fabric(HardwareParams(**{**ONE, **more}))
        launch_fabric(HardwareParams(**{**ONE, **more}).alone)


@pytest.mark.parametrize("strategy", ["fsdp", "ddp", "deepspeed", "dp"])
def test_a_strategy_that_does_not_start_its_own_processes_is_refused(strategy):
    with pytest.raises(ValidationError, match=r"strategy\n.*'auto', 'ddp_spawn' or 'ddp_fork'"):
        HardwareParams(**ONE, strategy=strategy)


def test_machines_that_cannot_find_each_other_are_refused(monkeypatch):
    for name in ("NODE_RANK", "GROUP_RANK", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    two = HardwareParams(**ONE, num_nodes=2)
    with pytest.raises(ValueError, match=r"num_nodes 2: .* got no NODE_RANK, MASTER_PORT; set"):
        launch(two, compute_together)
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(ValueError, match="num_nodes 2: expected a NODE_RANK below it, got 2"):
        launch(two, compute_together)
    with pytest.raises(ValueError, match="num_nodes 1: expected a NODE_RANK below it, got 2"):
        launch_fabric(two.alone)


def test_how_many_processes_train_is_part_of_a_fingerprint():
    own = [fingerprint(HardwareParams(**{**ONE, **more})) for more in ({}, *MORE)]
    assert len(set(own)) == len(own)
    assert fingerprint(HardwareParams(**ONE, num_nodes=1, strategy="auto")) == own[0]
    assert [HardwareParams(**{**ONE, **more}).processes for more in MORE] == [2, 2, 4]


MORE = [{"devices": 2}, {"num_nodes": 2}, {"devices": 2, "num_nodes": 2}]
