"""Resolvers of `conf/`: folders of the environment, and names of result folders."""

import hashlib
import re
from pathlib import Path

_DIGITS = 6  # of the digest: one of 16 million
_LONGEST = 40  # characters of a folder's name


def folder_in(name: str, *default: str | None) -> str | None:
    """Return a folder of the environment for globals: `${folder_in:SLICEFILL_RAW,null}`.

    Kedro resolves globals twice. A folder named `${…}` would be looked up the second time, so it
    is escaped; the catalog gets it as it is.

    Args:
        name: Of the variable.
        default: What stands for one that is not set, if anything; None is a value, too.

    Example:
        >>> folder_in("SLICEFILL_NONE", "data"), folder_in("SLICEFILL_NONE", None)
        ('data', None)
    """
    from omegaconf.resolvers import oc

    value = oc.env(name, *default)
    return value if value is None else re.sub(r"(\\*)\$\{", r"\1\1\\${", value)


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
    raw = re.sub(r"(\\*)\1\\\$\{", r"\1${", raw)  # as `folder_in` escapes
    path = raw.rstrip("/") if "://" in raw else str(Path(raw).expanduser().resolve())
    name = re.sub(r"[^\w.-]+", "_", path.rpartition("/")[2])[:_LONGEST].strip("_.") or "scans"
    return f"{name}_{hashlib.sha256(path.encode()).hexdigest()[:_DIGITS]}"


def name_grid(count: int | str | None, spacing: float | None, exact: bool) -> str:
    """Name the grid that is imputed, behind axis and factor.

    In a catalog: `${grid_name:${count},${spacing},${exact}}`.

    Args:
        count: Synthetic slices per interval; `nearest`; or N_A, the usual of experiments, which
            needs no name.
        spacing: Of the imputed slices, mm, where there is no count.
        exact: Whether the slices are exactly that far apart.

    Example:
        >>> [name_grid(count, None, False) for count in ("N_A", "nearest", 1)]
        ['', '_nearest', '_count1']
        >>> name_grid(None, 1.0, False), name_grid(None, 1.0, True)
        ('_1mm', '_1mm_exact')
    """
    if count is None:
        return "" if spacing is None else f"_{float(spacing):g}mm{'_exact' if exact else ''}"
    if isinstance(count, str):
        return "" if count == "N_A" else f"_{count}"
    return f"_count{count}"
