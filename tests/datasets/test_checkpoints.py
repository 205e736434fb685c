import pickle
from pathlib import Path

import pytest
import torch
from kedro.io import DatasetError

from slicefill.datasets.checkpoints import ModelsDataset, StatesDataset
from slicefill.io import storage
from slicefill.io.checkpoints import StateFile, read_checkpoint, write_checkpoint
from slicefill.types import ModelPromise

STATE = {
    "weights": {"w": torch.tensor([1.0, float("nan"), -0.0], dtype=torch.bfloat16)},
    "epoch": 3,
    "history": [{"term": "rec", "value": 0.5}],
    "best": {"psnr": float("-inf")},
}


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def models(tmp_path):
    return ModelsDataset(path=str(tmp_path / "models"), variant="iia")


@pytest.fixture
def nested(tmp_path):
    return ModelsDataset(path=str(tmp_path / "models"), nested=True)


def model(epoch=1, fingerprint="1"):
    return ModelPromise(lambda: {"epoch": epoch}, fingerprint)


def failing(fingerprint="1"):
    return ModelPromise(lambda: {}["no luck"], fingerprint)


def forbidden(fingerprint="1"):
    return ModelPromise(lambda: pytest.fail("made again"), fingerprint)


def epochs(dataset):
    return {name: read()["epoch"] for name, read in dataset.load().items()}


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    write_checkpoint(STATE, tmp_path / "new" / "a.pt")
    back = read_checkpoint(tmp_path / "new" / "a.pt")
    was, found = STATE["weights"]["w"], back.pop("weights")["w"]
    assert torch.equal(was.view(torch.int16), found.view(torch.int16))
    assert back == {k: v for k, v in STATE.items() if k != "weights"}


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    torch.save({"weights": Trap(tmp_path / "sprung")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="expected a checkpoint"):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


def test_an_interrupted_write_leaves_the_old_state(tmp_path, monkeypatch):
    store = StateFile(tmp_path / "last.pt")
    store.save({"epoch": 1})

    def stop(file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", stop)
        with pytest.raises(KeyboardInterrupt):
            store.save({"epoch": 2})
    assert store.load() == {"epoch": 1}
    store.save({"epoch": 3})
    assert store.load() == {"epoch": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_killed_write_leaves_the_old_model(models, python):
    code = """
import os, sys
from pathlib import Path
from slicefill.io.storage import replace_file
os.fsync = lambda file: os.kill(os.getpid(), 9)
replace_file(Path(sys.argv[1]), b"what cannot be read")
"""
    models.save({"iia": model(1)})
    file = models._path / "iia.pt"
    assert python(file.parent, "-c", code, str(file)).returncode == -9
    assert epochs(models) == {"iia": 1}
    models.save({"iia": model(2, "2")})
    assert epochs(models) == {"iia": 2}
    assert not list(file.parent.glob(".*.partial"))


def test_stores_of_other_names_are_other_files(tmp_path):
    states = StatesDataset(path=str(tmp_path / "last")).load()
    assert states["iia"].load() is None
    states["iia"].save({"epoch": 1})
    states["linear/unet2d_0"].save({"epoch": 2})
    for name, epoch in (("iia", 1), ("linear/unet2d_0", 2)):
        assert states[name].load() == {"epoch": epoch}
        assert read_checkpoint(tmp_path / "last" / f"{name}.pt") == {"epoch": epoch}


def test_a_store_goes_to_another_process(tmp_path):
    store = StatesDataset(path=str(tmp_path)).load()["linear/unet2d_0"]
    pickle.loads(pickle.dumps(store)).save({"epoch": 1})
    assert store.load() == {"epoch": 1}


def test_a_store_outside_the_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="must be a relative path"):
        StatesDataset(path=str(tmp_path)).load()["../iia"]


def test_nothing_is_saved_through_the_stores_dataset(tmp_path):
    with pytest.raises(DatasetError, match="input only"):
        StatesDataset(path=str(tmp_path)).save({"epoch": 1})


def test_no_model_is_not_an_error(models):
    assert models.load() == {}


def test_models_of_other_variants_stay(models):
    models.save({"iia": model(1)})
    models.save({"slice_imputation": model(2)})
    assert epochs(models) == {"iia": 1, "slice_imputation": 2}


def test_the_models_exist_when_the_chosen_variant_does(models):
    models.save({"slice_imputation": model()})
    assert not models.exists()
    models.save({"iia": model()})
    assert models.exists()


def test_a_model_is_read_only_when_called(models):
    models.save({"iia": model()})
    (models._path / "broken.pt").write_bytes(b"no checkpoint")
    assert models.load()["iia"]()["epoch"] == 1


def test_a_model_of_the_same_fingerprint_is_not_made_again(models):
    models.save({"iia": model(1, "a"), "plain": model(1, "a")})
    models.save({"iia": forbidden("a"), "plain": model(2, "b")})
    assert epochs(models) == {"iia": 1, "plain": 2}
    assert models.load()["plain"]()["fingerprint"] == "b"


def test_each_model_is_written_before_the_next_is_made(models):
    def make():
        assert epochs(models) == {"iia": 1}
        return {"epoch": 2}

    models.save({"iia": model(1), "plain": ModelPromise(make, "1")})
    assert epochs(models) == {"iia": 1, "plain": 2}


def test_a_failing_model_is_listed_leaves_nothing_stale_and_the_others_go_on(nested):
    names = ("linear/unet2d_0", "linear/unet2d_1", "none/unet2d_0")
    nested.save({name: model() for name in names})
    nested.save({name: failing("2") if name == names[1] else model(2, "2") for name in names})
    assert epochs(nested) == {names[0]: 2, names[2]: 2}
    assert nested.failures() == {names[1]: "KeyError: 'no luck'"}


def test_a_single_training_that_fails_leaves_nothing_stale(models):
    models.save({"iia": model()})
    models.save({"iia": failing("2")})
    assert models.load() == {}
    assert not models.exists()
    assert models.failures() == {"iia": "KeyError: 'no luck'"}


def test_trainings_that_are_interrupted_do_not_count_as_done(nested):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nested.save({"a": model(), "b": ModelPromise(stop, "1"), "c": model()})
    assert list(nested.load()) == ["a"]
    assert set(nested.failures()) == {"a", "b", "c"}
    nested.save({"a": forbidden(), "b": model(), "c": model()})
    assert nested.failures() == {}


def test_a_variant_does_not_answer_for_the_failure_of_another(models):
    models.save({"iia": model()})
    models.save({"plain": failing()})
    assert models.exists()
    assert set(models.failures()) == {"plain"}


def test_a_set_without_a_variant_never_exists(nested):
    """So that `--only-missing-outputs` asks for every model that another preset wants."""
    nested.save({"linear/unet2d_0": model()})
    assert not nested.exists()


def test_models_of_sub_folders_belong_to_a_nested_set_only(models, nested):
    models.save({"iia": model(1)})
    nested.save({"segmentation/linear/unet2d_0.5": model(2)})
    assert epochs(models) == {"iia": 1}
    assert epochs(nested) == {"iia": 1, "segmentation/linear/unet2d_0.5": 2}


def test_states_and_files_half_written_are_no_models(nested):
    nested.save({"iia": model()})
    for name in ("last/iia.pt", "last/linear/iia.pt", ".half.pt", ".folder/a.pt"):
        write_checkpoint({"epoch": 9}, nested._path / name)
    assert epochs(nested) == {"iia": 1}


def test_names_that_the_set_would_not_find_again_are_refused(models, nested):
    for dataset, name in ((models, "linear/iia"), (nested, "last/iia")):
        with pytest.raises(DatasetError, match="cannot save a model as"):
            dataset.save({name: forbidden()})
    for name in ("../iia", "", "/iia", "linear/.iia"):
        with pytest.raises(DatasetError, match="must be a relative path"):
            nested.save({name: model()})
