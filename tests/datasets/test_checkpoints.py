import pickle
from pathlib import Path

import pytest
import torch

from slicefill.datasets.checkpoints import (
    ModelsDataset,
    Slot,
    SlotDataset,
    read_checkpoint,
    write_checkpoint,
)

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


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    write_checkpoint(STATE, tmp_path / "new" / "a.pt")
    back = read_checkpoint(tmp_path / "new" / "a.pt")
    was, found = STATE["weights"]["w"], back.pop("weights")["w"]
    assert torch.equal(was.view(torch.int16), found.view(torch.int16))
    assert back == {k: v for k, v in STATE.items() if k != "weights"}


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    torch.save({"weights": Trap(tmp_path / "sprung")}, tmp_path / "a.pt")
    with pytest.raises(pickle.UnpicklingError):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


def test_an_interrupted_write_leaves_the_old_state(tmp_path, monkeypatch):
    slot = Slot(tmp_path / "last.pt")
    slot.save({"epoch": 1})

    def stop(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            slot.save({"epoch": 2})
    assert slot.load() == {"epoch": 1}
    slot.save({"epoch": 3})
    assert slot.load() == {"epoch": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_an_empty_slot_loads_none(tmp_path):
    dataset = SlotDataset(filepath=str(tmp_path / "last" / "a.pt"))
    assert dataset.load().load() is None


def test_nothing_is_saved_through_the_slot_dataset(tmp_path):
    with pytest.raises(Exception, match="input only"):
        SlotDataset(filepath=str(tmp_path / "a.pt")).save({"epoch": 1})


def test_no_model_is_not_an_error(models):
    assert models.load() == {}


def test_models_of_other_variants_stay(models):
    models.save({"iia": {"epoch": 1}})
    models.save({"slice_imputation": {"epoch": 2}})
    assert {name: read() for name, read in models.load().items()} == {
        "iia": {"epoch": 1},
        "slice_imputation": {"epoch": 2},
    }


def test_the_models_exist_when_the_chosen_variant_does(models):
    models.save({"slice_imputation": {"epoch": 1}})
    assert not models.exists()
    models.save({"iia": {"epoch": 1}})
    assert models.exists()


def test_a_model_is_read_only_when_called(models):
    models.save({"iia": {"epoch": 1}})
    (models._path / "broken.pt").write_bytes(b"no checkpoint")
    assert models.load()["iia"]() == {"epoch": 1}
