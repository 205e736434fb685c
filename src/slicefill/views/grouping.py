"""Which scans are views of one object: a table with a row per view, the reference first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["group", "view", "subject", "plane"]
_PLANES = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}
_ORDER = ["axial", "coronal", "sagittal"]


def group_scans(manifest: "pd.DataFrame", splits: "pd.DataFrame") -> "pd.DataFrame":
    """Group the scans that the manifest says to be views of one object.

    Args:
        manifest: With the columns case, subject, views, orientation and through_plane.
        splits: The chosen cases, column case.

    Returns:
        `COLUMNS`: the group, the case, its subject and the plane of its slices, the reference
        first, which is an axial view if there is one. Cases that are alone are left out.

    Raises:
        ValueError: If a group holds scans of several subjects; but for cases each of which is its
            own subject, because no pattern says whose scans they are.
    """
    import pandas as pd

    chosen = manifest[manifest["case"].isin(splits["case"])]
    rows = [
        (
            row.views,
            row.case,
            row.subject,
            _plane(str(row.orientation), int(str(row.through_plane))),
        )
        for row in chosen.itertuples()
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table[table.groupby("group")["view"].transform("size") > 1]
    _refuse_strangers(table)
    rank = table["plane"].map(_ORDER.index)
    return table.assign(rank=rank).sort_values(["group", "rank", "view"])[COLUMNS]


def _refuse_strangers(table: "pd.DataFrame") -> None:
    for group, own in table.groupby("group"):
        subjects = sorted(set(own["subject"]))
        if len(subjects) > 1 and (own["subject"] != own["view"]).any():
            msg = (
                f"manifest.csv, column views: expected scans of one subject in {group}, got those "
                f"of {', '.join(subjects)}: correct ingestion.views_pattern, which says what views "
                "of one object share, or ingestion.subject_pattern, and ingest again"
            )
            raise ValueError(msg)


def _plane(orientation: str, axis: int) -> str:
    """Name the plane of slices whose axis points into a direction such as `S` of `RAS`."""
    return _PLANES.get(orientation[axis], "sagittal")
