"""Two machines of one training, on loopback: the first writes and tracks, the second takes part."""

import hashlib
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import compress

import pytest

from slicefill.datasets.checkpoints import ModelsDataset
from slicefill.io.checkpoints import read_checkpoint
from slicefill.tracking import start_run
from slicefill.training.ranks import machine_rank
from slicefill.types import Lazy

NAMES = ("NODE_RANK", "GROUP_RANK")
EXACT = ["synthesis.hardware.accelerator=cpu", "synthesis.hardware.precision=32-true"]


@pytest.fixture
def rank(monkeypatch):
    """Say which machine this is, by the variables of a scheduler."""

    def be(**variables):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return be


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 0),
        ({"NODE_RANK": "1"}, 1),
        ({"GROUP_RANK": "2"}, 2),  # of torchrun
        ({"NODE_RANK": "1", "GROUP_RANK": "2"}, 1),  # as Lightning Fabric reads them
    ],
)
def test_the_environment_says_which_machine_this_is(variables, expected, rank):
    rank(**variables)
    assert machine_rank() == expected


def test_another_machine_takes_part_in_what_is_missing_and_writes_nothing(rank, tmp_path):
    trained = []

    def make(name):
        trained.append(name)
        if name == "bad":
            raise RuntimeError
        return {"name": name}

    def promise(*names):
        return {name: Lazy(lambda name=name: make(name), "mark") for name in names}

    models = ModelsDataset(path=str(tmp_path / "models"))
    rank()
    models.save(promise("old"))
    before = contents(tmp_path)
    rank(NODE_RANK="1")
    models.save(promise("old", "bad", "new"))
    assert trained == ["old", "bad", "new"]  # what is there is not trained again
    assert contents(tmp_path) == before


def test_another_machine_is_not_tracked(rank, tmp_path, monkeypatch):
    monkeypatch.setenv("SLICEFILL_TRACKING", "on")
    rank(NODE_RANK="1")
    assert start_run(tmp_path, "name", {}) is None
    assert list(tmp_path.iterdir()) == []


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def history(project):
    found = (project / "data" / "06_models").rglob("slice_imputation.pt")
    (path,) = (path for path in found if path.parent.name != "last")
    return [row for row in read_checkpoint(path)["history"] if row["epoch"] > 0]


@pytest.mark.server
def test_two_machines_train_as_one_with_the_doubled_batch(tiny_run, kedro, tmp_path):
    made, _ = tiny_run
    projects = [shutil.copytree(made, tmp_path / name) for name in ("first", "second", "alone")]
    before = contents(projects[1] / "data")
    port = free_port()

    def run(number):
        chosen = ["--pipelines=synthesis", "--nodes=synthesis.train_models"]
        sizes = [*EXACT, "synthesis.hardware.num_nodes=2", "synthesis.optimisation.batch=2"]
        where = {"NODE_RANK": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return train(projects[number], chosen, sizes, SLICEFILL_TRACKING="on", **where)

    def train(project, chosen, sizes, **environment):
        params = "--params=" + ",".join(sizes)
        return kedro(project, "run", "--env=tiny", *chosen, params, **environment)

    with ThreadPoolExecutor(2) as both:
        done = list(both.map(run, (0, 1)))
    assert [each.returncode for each in done] == [0, 0], done[0].stderr[-2000:]
    assert contents(projects[1] / "data") == before
    assert train(projects[2], ["--pipelines=synthesis"], EXACT).returncode == 0  # batch: 4
    one, two = history(projects[2]), history(projects[0])
    assert [(row["epoch"], row["term"]) for row in two] == [(r["epoch"], r["term"]) for r in one]
    # Shares are measured on what the first process sees of a batch.
    seen_by_all = [not row["term"].startswith("train/share/") for row in one]
    first, second = (
        list(compress((row["value"] for row in own), seen_by_all)) for own in (one, two)
    )
    assert second == pytest.approx(first, rel=1e-4, abs=1e-6)
