"""Anisotropization node: promise thick cases."""

from functools import partial

from slicefill.fingerprint import fingerprint
from slicefill.params import AnisotropizationParams
from slicefill.types import Case, Promise


def thicken_cases(cases: dict[str, Promise], params: AnisotropizationParams) -> dict[str, Promise]:
    """Promise one thick case per case; nothing is computed before the catalog saves it."""
    return {
        case: Promise(partial(_thicken, promise, params), fingerprint(promise.fingerprint, params))
        for case, promise in cases.items()
    }


def _thicken(promise: Promise, params: AnisotropizationParams) -> Case:
    from slicefill.simulation.subsampling import thicken

    return thicken(promise.make(), params)
