import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from kedro.io import DatasetError

from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.promises import shard_of
from slicefill.types import Promise

CASES = [f"{method}/{case}" for method in ("linear", "cubic") for case in "abcde"]


@pytest.fixture
def sharded(tmp_path):
    """The dataset of a run that makes a shard of the cases."""
    path = str(tmp_path / "imputed")
    return lambda shard: CasesDataset(path=path, made_by="imputation", group="cubic", shard=shard)


@pytest.fixture
def promises(case):
    """All cases, which note that they are made; those named fail."""
    made = []

    def promise(name, fails):
        def make():
            made.append(name)
            return {}["no luck"] if name in fails else case()

        return Promise(make, "1")

    make_promises = lambda *fails: {name: promise(name, fails) for name in CASES}  # noqa: E731
    make_promises.made = made
    return make_promises


@pytest.mark.parametrize("count", [1, 2, 3, 10, 12])
def test_shards_have_every_name_once_and_differ_in_size_by_one_at_most(count):
    shards = [shard_of(CASES, f"{number}/{count}") for number in range(count)]
    assert sorted(chain(*shards)) == sorted(CASES)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "1", "a/b", "1/2/3", "", "/"])
def test_what_is_no_shard_is_refused_at_once(sharded, shard):
    with pytest.raises(DatasetError, match=r"expected k/n with k from 0 to n-1"):
        sharded(shard)


def test_the_last_shard_marks_the_folder_complete(sharded, promises):
    for shard, made in (("2/3", 3), ("0/3", 7), ("1/3", 10)):
        assert not sharded("0/1").exists()
        sharded(shard).save(promises())
        assert len(promises.made) == made
    assert sharded("0/1").exists()
    assert list(sharded("0/1").load()) == CASES
    assert not sharded("0/1").failures()
    assert not list(sharded("0/1")._path.glob("_failed-*"))


def test_a_shard_alone_has_nothing_to_load(sharded, promises):
    """Or what comes next in its run would take the cases of others for all."""
    sharded("0/1").save({"nearest/a": promises()["cubic/a"]})
    first = sharded("0/2")
    first.save(promises())
    with pytest.raises(DatasetError, match=r"runs of all shards have ended.*--to-outputs"):
        first.load()
    sharded("1/2").save(promises())
    assert list(sharded("0/1").load()) == ["nearest/a", *CASES]


def test_a_shard_that_failed_leaves_the_folder_open_until_a_run_of_all(sharded, promises):
    first, last = sharded("0/2"), sharded("1/2")
    first.save(promises("linear/a"))
    last.save(promises("linear/a"))
    assert first.failures() == {"linear/a": "KeyError: 'no luck'"}
    assert last.failures() == {}
    assert not sharded("0/1").exists()
    sharded("0/1").save(promises())
    assert promises.made.count("linear/a") == 2
    assert len(promises.made) == len(CASES) + 1
    assert sharded("0/1").exists()
    assert first.failures() == {}


def test_a_shard_run_again_makes_nothing_twice(sharded, promises):
    for shard in ("0/2", "1/2", "0/2"):
        sharded(shard).save(promises())
    assert len(promises.made) == len(CASES)
    assert sharded("0/1").exists()


def test_shards_of_another_count_make_what_is_left(sharded, promises):
    sharded("0/2").save(promises("linear/a"))
    for number in range(5):
        sharded(f"{number}/5").save(promises())
    assert len(promises.made) == len(CASES) + 1
    assert sharded("0/1").exists()
    assert not list(sharded("0/1")._path.glob("_failed-*"))


RUN = """
import sys, time
import nibabel as nib, numpy as np
from slicefill.datasets.cases import CasesDataset
from slicefill.types import Case, Promise, Volume
path, shard, start = sys.argv[1:]

def make():
    time.sleep(0.02)
    image = nib.Nifti1Image(np.zeros((2, 2, 2), "i2"), np.eye(4))
    return Case(Volume(np.zeros((2, 2, 2), "i2"), image.header))

while time.time() < float(start):
    pass
names = [f"linear/{number:02d}" for number in range(40)]
cases = CasesDataset(path=path, made_by="imputation", group="linear", shard=shard)
cases.save({name: Promise(make, "1") for name in names})
"""


def test_runs_at_the_same_time_fill_one_folder(tmp_path):
    start = str(time.time() + 5)  # when all have imported what they need
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    runs = [subprocess.Popen([*command, f"{number}/4", start]) for number in range(4)]
    assert [run.wait(60) for run in runs] == [0] * 4
    whole = CasesDataset(path=str(tmp_path), made_by="imputation", group="linear")
    assert whole.exists()
    assert list(whole.load()) == [f"linear/{number:02d}" for number in range(40)]
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"_COMPLETE", "_failed.json", "linear"}
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.server
def test_two_kedro_runs_impute_the_tiny_study(tiny_run, tmp_path, kedro):
    project = shutil.copytree(tiny_run[0], tmp_path / "project")
    imputed = project / "data" / "07_model_output" / "tiny" / "S_x4" / "imputed"
    before = {p.relative_to(imputed): p.read_bytes() for p in imputed.rglob("*") if p.is_file()}
    shutil.rmtree(imputed)
    run = ("run", "--env=tiny", "--namespaces=imputation", "--to-outputs=imputed_cases")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda k: kedro(project, *run, f"--params=shard={k}/2"), range(2)))
    said = [each.stdout[-2000:] + each.stderr[-2000:] for each in done]
    assert [each.returncode for each in done] == [0, 0], said
    after = {p.relative_to(imputed): p.read_bytes() for p in imputed.rglob("*") if p.is_file()}
    assert after == before
    again = kedro(project, *run, "--only-missing-outputs")
    assert again.returncode == 0
    assert "imputation.impute_cases" not in again.stdout + again.stderr
