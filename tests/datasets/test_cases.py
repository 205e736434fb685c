import shutil
import time
import weakref
from functools import partial

import numpy as np
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from slicefill.datasets import promises
from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.promises import Grouped
from slicefill.io import case_folder
from slicefill.types import Lazy, Prediction, Promise


@pytest.fixture
def dataset(tmp_path):
    return CasesDataset(path=str(tmp_path / "cases"), made_by="ingestion")


@pytest.fixture
def promise(case):
    """A promise that notes when it is kept; seed None: one that fails."""
    made = []

    def make_promise(name, seed=0, fingerprint="1"):
        def make():
            made.append(name)
            if seed is None:
                raise ValueError("no luck")
            return case(seed=seed)

        return Promise(make, fingerprint)

    make_promise.made = made
    return make_promise


def test_cases_come_back_when_asked_for(dataset, promise, case):
    dataset.save({name: promise(name, seed) for seed, name in enumerate(["m/a", "m/b"])})
    loaded = dataset.load()
    assert list(loaded) == ["m/a", "m/b"]
    np.testing.assert_array_equal(loaded["m/b"].make().image.stored, case(seed=1).image.stored)
    assert loaded["m/b"].fingerprint == "1"


def test_loading_reads_no_volume(dataset, promise, monkeypatch):
    dataset.save({"a": promise("a")})

    def refuse(path):
        pytest.fail(f"{path} was read")

    monkeypatch.setattr(case_folder, "read_volume", refuse)
    assert list(dataset.load()) == ["a"]


def test_no_more_than_two_cases_are_in_memory_at_a_time(dataset, case):
    """One that is made and one that is written: the others are let go, at once or very soon."""
    alive = weakref.WeakSet()
    others = []

    def make(seed):
        end = time.monotonic() + 5
        while len(alive) > 1 and time.monotonic() < end:
            time.sleep(0.01)
        others.append(len(alive))
        made = case(seed=seed)
        alive.add(made.image)
        return made

    dataset.save({str(seed): Promise(partial(make, seed), "1") for seed in range(4)})
    assert len(others) == 4
    assert max(others) <= 1


def test_a_case_of_the_same_fingerprint_is_not_made_again(dataset, promise):
    dataset.save({"a": promise("a"), "b": promise("b")})
    dataset.save({"a": promise("a again"), "b": promise("b again", 1, fingerprint="2")})
    assert promise.made == ["a", "b", "b again"]
    assert {k: p.fingerprint for k, p in dataset.load().items()} == {"a": "1", "b": "2"}


def test_a_case_without_a_fingerprint_is_never_taken_for_made(dataset, promise):
    dataset.save({"m/a": promise("m/a"), "n/b": promise("n/b", None, fingerprint="")})
    assert dataset.failures() == {"n/b": "ValueError: no luck"}


def test_a_failing_case_is_listed_and_the_others_go_on(dataset, promise):
    dataset.save({name: promise(name, None if name == "b" else 0) for name in "abc"})
    assert list(dataset.load()) == ["a", "c"]
    assert dataset.failures() == {"b": "ValueError: no luck"}


def test_a_failing_case_leaves_no_stale_result(dataset, promise):
    dataset.save({name: promise(name) for name in "ab"})
    dataset.save({"a": promise("a"), "b": promise("b", None, fingerprint="2")})
    assert list(dataset.load()) == ["a"]
    assert not (dataset._path / "b").exists()


def test_a_failure_is_forgotten_once_the_case_succeeds(dataset, promise):
    dataset.save({"a": promise("a"), "b": promise("b", None)})
    assert not dataset.exists()
    dataset.save({"a": promise("a"), "b": promise("b")})
    assert dataset.failures() == {}
    assert dataset.exists()


def test_when_every_case_fails_the_run_stops(dataset, promise):
    with pytest.raises(DatasetError, match=r"every case failed.*no luck"):
        dataset.save({name: promise(name, None) for name in "ab"})
    assert not dataset.exists()


def test_when_every_case_of_a_group_fails_the_others_stay(dataset, promise):
    dataset.save({"linear/a": promise("linear/a")})
    dataset.save({"cubic/a": promise("cubic/a", None)})
    assert list(dataset.load()) == ["linear/a"]
    assert set(dataset.failures()) == {"cubic/a"}
    assert not dataset.exists()


def test_an_interrupted_save_does_not_count_as_done(dataset, promise):
    def stop():
        raise KeyboardInterrupt

    dataset.save({"a": promise("a")})
    with pytest.raises(KeyboardInterrupt):
        dataset.save({"a": promise("a"), "b": promise("b"), "c": Promise(stop, "1")})
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="kedro run --pipelines=ingestion"):
        dataset.load()
    dataset.save({name: promise(name) for name in "abc"})
    assert promise.made == ["a", "b", "c"]  # nothing twice
    assert dataset.exists()


def test_an_interruption_at_the_very_end_does_not_count_as_done(dataset, promise, monkeypatch):
    def stop(path, content):
        if path.name == "_COMPLETE":
            raise KeyboardInterrupt
        original(path, content)

    original = promises.replace_file
    with monkeypatch.context() as patch:
        patch.setattr(promises, "replace_file", stop)
        with pytest.raises(KeyboardInterrupt):
            dataset.save({})
    assert not dataset.exists()


def test_cases_of_an_earlier_list_are_no_longer_loaded(dataset, promise):
    dataset.save({name: promise(name) for name in "abc"})
    dataset.save({"b": promise("b")})
    assert list(dataset.load()) == ["b"]


def test_cases_of_an_earlier_list_are_marked_until_they_are_promised_again(
    dataset, promise, tmp_path
):
    def marked():
        folder = tmp_path / "cases"
        found = folder.rglob("LEFT_OVER.txt")
        return [path.parent.relative_to(folder).as_posix() for path in found]

    kept = {name: promise(name) for name in ("linear/a", "linear/b", "cubic/b")}
    dataset.save(kept)
    for _ in range(2):  # another method's cases are of another run
        dataset.save({"linear/a": kept["linear/a"]})
        assert marked() == ["linear/b"]
    dataset.save(kept)
    assert marked() == []
    assert dataset.made == 0


def test_the_last_case_of_a_group_is_left_over_too_once_nothing_is_promised_of_it(
    dataset, promise, caplog
):
    """As where the only scan of a folder was replaced by one in which nothing is to be imputed."""
    dataset.save({name: promise(name) for name in ("linear/a", "cubic/a")})
    dataset.save(Grouped({}, ["linear"]))
    assert list(dataset.load()) == ["cubic/a"]  # of another run
    assert (dataset._path / "linear" / "a" / "LEFT_OVER.txt").exists()
    assert "1 case(s) that an earlier run made are left over" in caplog.text
    dataset.save({})
    assert list(dataset.load()) == ["cubic/a"]


def test_a_case_whose_folder_was_deleted_is_told_left_out_and_made_again(dataset, promise, caplog):
    both = {name: promise(name) for name in ("linear/a", "cubic/a")}
    dataset.save(both)
    shutil.rmtree(dataset._path / "cubic")
    assert list(dataset.load()) == ["linear/a"]
    assert "1 finished case(s) are missing (the first: cubic/a)" in caplog.text
    dataset.save(both)
    assert promise.made == ["linear/a", "cubic/a", "cubic/a"]
    assert list(dataset.load()) == ["linear/a", "cubic/a"]


def test_what_a_killed_worker_left_is_removed_and_what_others_write_stays(dataset, promise):
    dataset.save({"b.2": promise("b.2")})
    lying = [dataset._path / f".{name}.{'0' * 32}.partial" for name in ("a", "b", "b.2")]
    for folder in lying:
        folder.mkdir()
    dataset.save({"b": promise("b"), "b.2": promise("b.2")})  # the second is not made again
    assert [folder.exists() for folder in lying] == [True, False, True]


def test_an_empty_list_is_done(dataset):
    dataset.save({})
    assert dataset.load() == {}


@pytest.mark.parametrize("name", ["../outside", "a/../../b", "/absolute", "", ".", ".a/b"])
def test_an_id_that_leaves_the_folder_is_refused(dataset, promise, name, tmp_path):
    with pytest.raises(DatasetError, match="must be a relative path"):
        dataset.save({name: promise("a")})
    assert {p.name for p in tmp_path.iterdir()} <= {"cases"}


def test_only_missing_outputs_redoes_a_half_finished_folder(dataset, promise):
    """Kedro's own PartitionedDataset counts as done with one file of many."""

    def make():
        return {name: promise(name) for name in "ab"}

    pipeline = Pipeline([Node(make, None, "cases")])

    def run():
        catalog = DataCatalog({"cases": dataset})
        SequentialRunner().run(pipeline, catalog, only_missing_outputs=True)

    dataset.save({"a": promise("a")})
    (dataset._path / "_COMPLETE").unlink()  # as if killed
    run()
    assert promise.made == ["a", "b"]
    shutil.rmtree(dataset._path / "b")
    run()  # done: the node does not run
    assert promise.made == ["a", "b"]


def test_predictions_come_back_when_asked_for(case, tmp_path):
    made = Prediction(case().label, record={"network": "unet2d"})
    dataset = CasesDataset(path=str(tmp_path), made_by="segmentation", content="prediction")
    dataset.save({"linear/a": Lazy(lambda: made, "1")})
    dataset.save({"linear/a": Lazy(lambda: pytest.fail("made twice"), "1")})
    back = dataset.load()["linear/a"].make()
    np.testing.assert_array_equal(back.label.stored, made.label.stored)
    assert back.record == {"network": "unet2d", "fingerprint": "1"}


def test_an_unknown_content_is_refused():
    with pytest.raises(
        DatasetError, match="expected one of case, prediction, evaluation, finding, got 'scan'"
    ):
        CasesDataset(path="somewhere", made_by="ingestion", content="scan")
