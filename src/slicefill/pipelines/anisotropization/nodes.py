"""Anisotropization node: promise anisotropic cases."""

from functools import partial

from slicefill.fingerprint import fingerprint
from slicefill.simulation.subsampling import AnisotropizationParams
from slicefill.types import Case, Promise


def subsample_cases(
    cases: dict[str, Promise], params: AnisotropizationParams
) -> dict[str, Promise]:
    """Promise one anisotropic case per case; nothing is computed before the catalog saves it."""
    return {
        case: Promise(
            partial(_subsample, promise, params), fingerprint(promise.fingerprint, params)
        )
        for case, promise in cases.items()
    }


def _subsample(promise: Promise, params: AnisotropizationParams) -> Case:
    from slicefill.simulation.subsampling import subsample

    return subsample(promise.make(), params)
