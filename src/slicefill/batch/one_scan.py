"""One scan of many: what determines its result, how it is read and imputed."""

from typing import TYPE_CHECKING

import numpy as np

from slicefill.ingestion.found import RawCase
from slicefill.params import ImputationParams
from slicefill.types import Case

if TYPE_CHECKING:
    from slicefill.batch.table import Row
    from slicefill.imputation.imputers import Imputer

_FILLED = "-filled"


def scan_fingerprint(raw: RawCase, rule: str) -> str:
    """Return the fingerprint of what is made of a scan: its files, and how it is imputed.

    Of files that cannot be read it is "": their reader says why.

    Args:
        raw: The scan.
        rule: `rule_fingerprint`.
    """
    from slicefill.fingerprint import fingerprint
    from slicefill.ingestion.companions import source_files
    from slicefill.ingestion.integrity import checksum

    try:
        label = checksum(source_files(raw.label)) if raw.label else ""
        return fingerprint(checksum(source_files(raw.image)), label, rule)
    except OSError:
        return ""


def filled_fingerprint(own: str) -> str:
    """Return the fingerprint of what is made of a scan whose series lacks slices."""
    return own.removesuffix(_FILLED) + _FILLED


def wanted_fingerprint(own: str, before: "Row | None", *, fill_missing: bool) -> str:
    """Return the fingerprint under which what is wanted of a scan may be there already.

    Args:
        own: `scan_fingerprint`.
        before: What an earlier call made of the scan.
        fill_missing: Whether it may be what was made of a series that lacks slices.
    """
    filled = filled_fingerprint(own)
    was_filled = before is not None and before.fingerprint == filled
    return filled if fill_missing and was_filled else own


def rule_fingerprint(imputer: "Imputer", params: ImputationParams) -> str:
    """Return the fingerprint of how scans are imputed: the method, and what decides."""
    from slicefill.fingerprint import fingerprint

    return fingerprint(imputer.fingerprint, params.decisive)


def read_scan(raw: RawCase, params: ImputationParams, *, fill_missing: bool = False) -> Case:
    """Read a scan that is to be imputed.

    Args:
        raw: The scan.
        params: How it is imputed.
        fill_missing: Whether slices that its series lacks are imputed; else it is refused.

    Raises:
        BadCase: If it is damaged or odd, shows nothing, or would become too large; says what to do.
        OneSlice: If it has no second slice.
    """
    from slicefill.imputation.grids import refuse_too_much
    from slicefill.ingestion.checks import about
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.ingestion.voxels import check_varies
    from slicefill.params.ingestion import own_scans

    case = read_raw_case(raw, own_scans("impute" if fill_missing else "refuse"))
    with about(raw.id, raw.place):
        check_varies(case.image)
        refuse_too_much(case, params)
    return case


def impute_named(name: str, case: Case, imputer: "Imputer", params: ImputationParams) -> Case:
    """Impute a case; what a method draws depends on the name, whatever the order of the scans."""
    from slicefill.imputation.impute import impute_case

    return impute_case(case, imputer, params, np.random.default_rng([params.seed, *name.encode()]))
