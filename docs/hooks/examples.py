"""Lets Griffe see `Example:` as `Examples:`: Google's style has both, Griffe only one."""

import re
from typing import Any

from griffe import Extension, Object


class ExampleSections(Extension):
    """Renames the section in every docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename it in one."""
        if obj.docstring:
            obj.docstring.value = re.sub("^Example:$", "Examples:", obj.docstring.value, flags=re.M)
