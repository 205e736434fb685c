import pytest
from kedro.io import DatasetError

from slicefill.datasets.studies import BestValuesDataset, JournalDataset


def test_best_values_come_back_and_are_empty_where_nothing_was_tuned(tmp_path):
    dataset = BestValuesDataset(filepath=str(tmp_path / "tuning" / "best.json"))
    assert dataset.load() == {}
    assert not dataset.exists()
    dataset.save({"values": {"weights.warp": 0.3}})
    assert dataset.exists()
    assert dataset.load() == {"values": {"weights.warp": 0.3}}


def test_a_journal_is_a_path_that_need_not_exist(tmp_path):
    path = str(tmp_path / "tuning" / "journal.log")
    assert JournalDataset(path=path).load() == path
    with pytest.raises(DatasetError, match="an input only"):
        JournalDataset(path=path).save("anything")
