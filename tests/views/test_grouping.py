"""Which scans are views of one object, as the manifest on disk says."""

import pandas as pd
import pytest
from kedro.io import DataCatalog

from slicefill.views.grouping import group_scans


def manifest(objects, **subjects):
    """Two views of every object; its subject is that of the object, or another one."""
    rows = [
        {
            "case": f"{name}_{plane}",
            "subject": subjects.get(f"s{name}", name),
            "views": name,
            "orientation": orientation,
            "through_plane": 2,
        }
        for name in objects
        for plane, orientation in (("sag", "ASR"), ("ax", "RAS"))
    ]
    return pd.DataFrame(rows)


def test_names_that_look_like_numbers_stay_names(configuration, tmp_path):
    entry = {**configuration()["catalog"]["manifest"], "filepath": str(tmp_path / "manifest.csv")}
    entry.pop("metadata")
    dataset = DataCatalog.from_config({"manifest": entry}).get("manifest")
    names = ["1", "01", "1e3", "1000"]
    dataset.save(manifest(names))
    read = dataset.load()
    groups = group_scans(read, read)
    assert groups.groupby("group")["view"].agg(list).to_dict() == {
        name: [f"{name}_ax", f"{name}_sag"] for name in names
    }


def test_scans_of_several_subjects_are_never_one_group():
    table = manifest(["p"])
    table["subject"] = ["anna", "bert"]
    with pytest.raises(ValueError, match=r"one subject in p, got those of anna, bert: correct"):
        group_scans(table, table)
    unknown = table.assign(subject=table["case"])  # no pattern says whose scans they are
    assert len(group_scans(unknown, unknown)) == 2
