import pytest
from kedro.io import DatasetError

from slicefill.datasets.journal import JournalDataset


def test_a_journal_is_a_path_that_need_not_exist(tmp_path):
    path = str(tmp_path / "tuning" / "journal.log")
    assert JournalDataset(path=path).load() == path
    with pytest.raises(DatasetError, match="an input only"):
        JournalDataset(path=path).save("anything")
