"""What a run says at its end: what was made, where it is, how good it is."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

MAIN = {
    "psnr": "psnr_body",
    "ssim": "ssim_body",
    "dice": "dice_mean",
    "volume_bias": "volume_bias_mean",
}
"""The main scores, under the names that stand for any method, and their columns."""
_WRITTEN = {
    "psnr": "PSNR {:.2f} dB",
    "ssim": "SSIM {:.3f}",
    "dice": "Dice {:.3f}",
    "volume_bias": "volume bias {:+.1%}",
}
_MOST = 15  # lines
_LISTED = 4  # names in a line


def main_method(methods: Sequence[str], variant: str) -> str:
    """Return the method that a run is about: the variant, or else the last that imputed.

    Example:
        >>> main_method(["linear", "iia"], "iia"), main_method(["linear", "pretrained"], "iia")
        ('iia', 'pretrained')
    """
    return variant if variant in methods or not methods else methods[-1]


def main_scores(summary: pd.DataFrame, method: str) -> dict[str, float]:
    """Return the main scores of a method, those that were measured.

    Args:
        summary: As `metrics.statistics.summarise_scores`: `method`, `metric`, `mean`, …
        method: Its name.
    """
    if summary.empty:
        return {}
    means = summary[summary["method"] == method].set_index("metric")["mean"].dropna()
    return {name: float(means[column]) for name, column in MAIN.items() if column in means}


def tell_scores(summary: pd.DataFrame, method: str) -> str:
    """Write the main scores of a method in a line; empty where nothing was measured."""
    scores = main_scores(summary, method)
    told = [_WRITTEN[name].format(value) for name, value in scores.items()]
    return f"{method}: {', '.join(told)}" if told else ""


def tell_dense(cases: Iterable[str]) -> str:
    """Write how many cases there was nothing to impute in, and which.

    Example:
        >>> tell_dense(["a", "b"])
        '2 cases need no imputing, their slices are dense already: a, b'
    """
    names = list(cases)
    what = "1 case needs" if len(names) == 1 else f"{len(names)} cases need"
    more = ", …" if len(names) > _LISTED else ""
    whose = "its" if len(names) == 1 else "their"
    listed = ", ".join(names[:_LISTED])
    return f"{what} no imputing, {whose} slices are dense already: {listed}{more}"


def tell_volumes(names: Iterable[str], new: int) -> str:
    """Write how many volumes there are, of what, and how many of them are new.

    Args:
        names: As `method/case`.
        new: How many the run made; the others were there.

    Example:
        >>> tell_volumes(["linear/a", "linear/b", "cubic/a", "cubic/b"], 2)
        '4 volumes, 2 of them new: 2 cases by linear, cubic'
        >>> tell_volumes(["linear/a"], 0)
        '1 volume, there already: 1 case by linear'
    """
    split = [name.rpartition("/") for name in names]
    methods, cases = list(dict.fromkeys(m for m, _, _ in split)), {case for _, _, case in split}
    age = {0: ", there already", len(split): ", new"}.get(new, f", {new} of them new")
    return (
        f"{_count(len(split), 'volume')}{age}: {_count(len(cases), 'case')} by {shorten(methods)}"
    )


def shorten(names: Sequence[str]) -> str:
    """List names, the first few and how many more there are.

    Example:
        >>> shorten(["a", "b", "c", "d", "e", "f"])
        'a, b, c, d and 2 more'
    """
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def tell_time(seconds: float) -> str:
    """Write a duration.

    Example:
        >>> tell_time(7.4), tell_time(92.0), tell_time(7260.0)
        ('7 s', '1 min 32 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def lay_out(title: str, entries: Mapping[str, Sequence[str]]) -> str:
    """Lay a summary out under a rule: names on the left, their lines on the right.

    Args:
        title: On the rule.
        entries: Lines by name; of no lines, nothing is shown. What exceeds 15 lines is left out of
            the longest entry, which says how many.
    """
    shown = {name: list(lines) for name, lines in entries.items() if lines}
    excess = 1 + sum(map(len, shown.values())) - _MOST  # with the rule
    if excess > 0:
        longest = max(shown.values(), key=len)
        kept = max(0, len(longest) - excess - 1)
        longest[kept:] = [f"and {len(longest) - kept} more"]
    width = max(map(len, shown), default=0)
    rows = [
        f"{'' if number else name:<{width}}  {line}"
        for name, lines in shown.items()
        for number, line in enumerate(lines)
    ]
    return "\n".join(["", f"── {title} ".ljust(80, "─"), *rows])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
