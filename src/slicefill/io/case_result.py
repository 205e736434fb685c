"""What an evaluation found for one case, on disk: result.json, figures, and record.json."""

import io
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from slicefill.execution.serial import Failure
from slicefill.io.case_folder import RECORD, read_record
from slicefill.io.storage import Location, read_file, replace_folder
from slicefill.metrics.evaluation import CaseResult, MethodResult

_RESULT, _PICTURE, _DESCRIBED = "result.json", ".png", "described.npz"


def write_result(result: CaseResult, folder: Location) -> None:
    """Write a result whole or not at all, without pickling anything.

    One with a failure in it gets another fingerprint than was promised: the next run tries again.
    """
    failed = [each for each in (*result.methods.values(), result.figures) if _failed(each)]
    own = str(result.record.get("fingerprint", "")) + ("+failed" if failed else "")
    text = json.dumps({"methods": {n: _plain(one) for n, one in result.methods.items()}})
    pictures = {} if isinstance(result.figures, Failure) else result.figures
    files = {f"{name}{_PICTURE}": partial(bytes, picture) for name, picture in pictures.items()}
    files[_DESCRIBED] = partial(_pack, result.methods)
    record = json.dumps({**result.record, "fingerprint": own})
    replace_folder(folder, {**files, _RESULT: text.encode, RECORD: record.encode})


def read_result(folder: Location) -> CaseResult:
    """Read what `write_result` wrote.

    Raises:
        FileNotFoundError: If the folder holds no result.
    """
    content = json.loads(read_file(folder / _RESULT))
    described = _unpack(read_file(folder / _DESCRIBED))
    pictures: list[Location] = sorted(folder.glob(f"*{_PICTURE}"), key=str)
    return CaseResult(
        {name: _result(one, described.get(name, {})) for name, one in content["methods"].items()},
        {path.name.removesuffix(_PICTURE): read_file(path) for path in pictures},
        read_record(folder),
    )


def _failed(one: Any) -> bool:
    return isinstance(one, Failure)


def _plain(one: MethodResult | Failure) -> dict[str, Any]:
    if isinstance(one, Failure):
        return {"failed": one.reason, "trace": one.trace}
    return {
        "slices": one.slices.to_dict("list"),
        "scores": one.scores,
        "curves": one.curves.to_dict("list"),
        "reason": one.reason,
    }


def _pack(methods: Mapping[str, MethodResult | Failure]) -> bytes:
    """What the metrics per set need, `<method>|<description>|<number>`."""
    arrays = {
        f"{method}|{name}|{number}": np.asarray(array)
        for method, one in methods.items()
        if isinstance(one, MethodResult)
        for name, own in one.described.items()
        for number, array in enumerate(own)
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def _unpack(content: bytes) -> dict[str, dict[str, list[Any]]]:
    described: dict[str, dict[str, list[Any]]] = {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for key in arrays.files:
            method, name, _ = key.split("|")
            described.setdefault(method, {}).setdefault(name, []).append(arrays[key])
    return described


def _result(one: Mapping[str, Any], described: dict[str, list[Any]]) -> MethodResult | Failure:
    if "failed" in one:
        return Failure(one["failed"], one["trace"])
    return MethodResult(
        slices=pd.DataFrame(one["slices"]),
        scores=one["scores"],
        described=described,
        curves=pd.DataFrame(one["curves"]),
        reason=one["reason"],
    )
