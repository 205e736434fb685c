"""Adaptation node: choose what learns, and what imputes."""


def choose_methods(names: list[str]) -> tuple[list[str], list[str]]:
    """Return the methods that impute (those named, and `adapted`) and the one that learns."""
    from slicefill.imputation.methods.pretrained import ADAPTED

    return list(dict.fromkeys([*names, ADAPTED])), [ADAPTED]
