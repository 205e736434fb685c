"""Equations of the documentation as MathML: browsers draw it without a script or a network."""

import re
from html import unescape

from latex2mathml.converter import convert

_EQUATION = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[]'
    r"(?P<tex>.*?)(\\tag\{(?P<number>[^}]*)\}\s*)?"
    r"\\[)\]]</",
    re.S,
)


def on_page_content(html: str, **_: object) -> str:
    """Replace what `pymdownx.arithmatex` marked as LaTeX."""
    return _EQUATION.sub(_as_mathml, html)


def _as_mathml(found: re.Match[str]) -> str:
    tag, number = found["tag"], found["number"]
    math = convert(unescape(found["tex"]), display="block" if tag == "div" else "inline")
    numbered = f"<span>({number})</span>" if number else ""
    return f'<{tag} class="equation">{math}{numbered}</'
