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
    rank = table["plane"].map(_ORDER.index)
    return table.assign(rank=rank).sort_values(["group", "rank", "view"])[COLUMNS]


def _plane(orientation: str, axis: int) -> str:
    """Name the plane of slices whose axis points into a direction such as `S` of `RAS`."""
    return _PLANES.get(orientation[axis], "sagittal")
