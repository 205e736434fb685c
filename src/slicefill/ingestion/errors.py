"""What is wrong with a case, in a form that a report can list."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BadCase(ValueError):  # noqa: N818 - it names a case, not a slip of ours
    """A case that must not be used.

    Attributes:
        expected: What a good case has.
        found: What this one has.
        remedy: What to do about it.
        case: Case id.
        file: The file or folder at fault, if it is known.

    Example:
        >>> print(BadCase("two slices or more", "one", "leave the case out", case="c1"))
        c1: expected two slices or more, found one; leave the case out
    """

    def __init__(
        self, expected: str, found: str, remedy: str, case: str = "", file: Path | None = None
    ) -> None:
        super().__init__(expected, found, remedy, case, file)
        # What other libraries say may run over several lines; a report has one per fault.
        self.expected, self.found, self.remedy = (
            " ".join(text.split()) for text in (expected, found, remedy)
        )
        self.case = case
        self.file = file

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.case, self.file and self.file.name) if part)
        return f"{where}: expected {self.expected}, found {self.found}; {self.remedy}"


@contextmanager
def about(case: str, file: Path) -> Iterator[None]:
    """Write the case and the file into a `BadCase` that does not name them yet."""
    try:
        yield
    except BadCase as error:
        error.case = error.case or case
        error.file = error.file or file
        raise


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turn whatever a foreign reader raises on a damaged file into a `BadCase`."""
    try:
        yield
    except BadCase:
        raise
    # Parsers meet arbitrary bytes here; what they raise then is not part of their interface.
    except Exception as error:
        raise BadCase(
            expected=f"a whole and readable {kind}",
            found=f"{type(error).__name__}: {error}",
            remedy="copy or export the file again",
        ) from error
