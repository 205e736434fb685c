"""What was found out about a case, without volumes, on disk: record.json."""

from functools import partial

from slicefill.io.case_folder import RECORD, encode_record, read_record
from slicefill.io.storage import Location, replace_folder
from slicefill.types import Finding


def write_finding(finding: Finding, folder: Location) -> None:
    """Write a finding whole or not at all."""
    replace_folder(folder, {RECORD: partial(encode_record, finding.record)})


def read_finding(folder: Location) -> Finding:
    """Read what `write_finding` wrote.

    Raises:
        FileNotFoundError: If the folder holds none.
    """
    record = read_record(folder)
    if not record:
        msg = f"{folder}: expected {RECORD}, found none"
        raise FileNotFoundError(msg)
    return Finding(record)
