"""Whose scan a case is, and of which object it is one of several views."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import RawCase
from slicefill.params import IngestionParams

logger = logging.getLogger(__name__)


def subject_of(case: str, params: IngestionParams) -> str:
    """Return the subject of a case: the group of `subject_pattern`, perhaps as a number.

    Raises:
        BadCase: If the id does not match, or its group is no number where one is needed.
        ValueError: If the pattern has not exactly one group.
    """
    match = _with_one_group("subject_pattern", params.subject_pattern).search(case)
    subject = (match.group(1) or "") if match else ""
    number = params.cases_per_subject > 1
    if not subject or (number and not subject.isdecimal()):
        raise BadCase(
            expected=f"an id with {'a number' if number else 'a subject'} in it, as in "
            f"subject_pattern {params.subject_pattern!r}",
            found=case,
            remedy="correct subject_pattern or rename the file",
        )
    return str(math.ceil(int(subject) / params.cases_per_subject)) if number else subject


def views_of(raw: RawCase, params: IngestionParams) -> str:
    """Return what a case has in common with the other views of one object at one time.

    The group of `views_pattern`; without a pattern what the layout says: of BIDS the name without
    `acq-` and `run-`, of DICOM the study. The case's own id where it is alone.

    Raises:
        ValueError: If the pattern has not exactly one group.
    """
    if params.views_pattern is None:
        return raw.views or raw.id
    match = _with_one_group("views_pattern", params.views_pattern).search(raw.id)
    return (match.group(1) if match else "") or raw.id


def warn_of_divided_views(rows: Sequence[Mapping[str, Any]]) -> None:
    """Say which views of one object count as several subjects: a split could divide them."""
    subjects: dict[str, set[str]] = {}
    for row in rows:
        subjects.setdefault(row["views"], set()).add(row["subject"])
    divided = sorted(views for views, own in subjects.items() if len(own) > 1)
    if divided:
        logger.warning(
            "%d groups of views count as several subjects, which a split may divide, such as %s: "
            "set subject_pattern to what their ids have in common",
            len(divided),
            divided[0],
        )


def _with_one_group(name: str, text: str) -> re.Pattern[str]:
    pattern = re.compile(text)
    if pattern.groups != 1:
        msg = f"{name} must have one group, got {text!r}"
        raise ValueError(msg)
    return pattern
