"""How a raw folder is laid out, a KIND: every file in this folder is one layout.

A layout is chosen by `ingestion.layout`, the name of its file; nothing else lists it. It defines
`EXPECTED`, what a user is told to have when nothing of it is found, and
`find(folder, params) -> Found`. Ids may be any text there: `find_cases` makes them safe and unique,
and names the files that a layout does not mention.
"""

from slicefill.ingestion.discovery import find_cases, find_scans
from slicefill.ingestion.found import Found, LeftAside, RawCase, safe_id

__all__ = ["Found", "LeftAside", "RawCase", "find_cases", "find_scans", "safe_id"]
