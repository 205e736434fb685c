"""Resolvers of `conf/`: names of result folders, so that no two settings share one."""

import hashlib
import re
from pathlib import Path

_DIGITS = 6  # of the digest: one of 16 million
_LONGEST = 40  # characters of a folder's name


def name_scans(raw: str | None) -> str:
    """Name an experiment after the folder of its raw scans: `${scans_name:${raw}}`.

    Args:
        raw: The folder; None where it is not known yet.

    Returns:
        Its name and a digest of its absolute path, so that two folders of one name do not mix.

    Example:
        >>> name_scans("/data/knees 2024"), name_scans("/other/knees 2024"), name_scans(None)
        ('knees_2024_adf768', 'knees_2024_6cf4d4', 'scans')
    """
    if not raw:
        return "scans"
    path = raw.rstrip("/") if "://" in raw else str(Path(raw).expanduser().resolve())
    name = re.sub(r"[^\w.-]+", "_", path.rpartition("/")[2])[:_LONGEST].strip("_.") or "scans"
    return f"{name}_{hashlib.sha256(path.encode()).hexdigest()[:_DIGITS]}"


def name_grid(count: int | str | None, spacing: float | None) -> str:
    """Name the grid that is imputed, behind axis and factor: `${grid_name:${count},${spacing}}`.

    Args:
        count: Synthetic slices per interval, or N_A, the usual, which needs no name.
        spacing: Of the imputed slices, mm, where there is no count.

    Example:
        >>> name_grid("N_A", None), name_grid(1, None), name_grid(None, 1.0)
        ('', '_count1', '_1mm')
    """
    if count is None:
        return "" if spacing is None else f"_{float(spacing):g}mm"
    return "" if count == "N_A" else f"_count{count}"
