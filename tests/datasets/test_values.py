import json
import threading

import pytest
from kedro.io import DatasetError

from slicefill.datasets.values import ValuesDataset


def test_values_come_back_and_show_in_kedro_viz(tmp_path):
    dataset = ValuesDataset(filepath=str(tmp_path / "tuning" / "best.json"))
    assert not dataset.exists()
    dataset.save({"values": {"weights.warp": 0.3}})
    assert dataset.exists()
    assert dataset.load() == {"values": {"weights.warp": 0.3}}
    assert json.loads(dataset.preview()) == {"values": {"weights.warp": 0.3}}


def test_without_a_file_optional_values_are_empty_and_others_an_error(tmp_path):
    path = str(tmp_path / "best.json")
    assert ValuesDataset(filepath=path, optional=True).load() == {}
    with pytest.raises(DatasetError, match=r"best\.json"):
        ValuesDataset(filepath=path).load()


def test_one_who_reads_while_another_writes_finds_all_or_the_same_as_before(tmp_path):
    dataset = ValuesDataset(filepath=str(tmp_path / "methods.json"))
    values = list(range(20_000))
    dataset.save(values)
    stopped = threading.Event()

    def write() -> None:
        while not stopped.is_set():
            dataset.save(values)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(dataset.load() == values for _ in range(200))
    finally:
        stopped.set()
        writer.join()
