"""The shipped weights after they have learned from the scans that are imputed."""

from slicefill.params import AdaptationParams as Params

SECTION = "adaptation"


def load(params, checkpoint, imputation):
    from slicefill.imputation.methods import slice_imputation

    return slice_imputation.load(None, checkpoint, imputation)


def _scans(data):
    from slicefill.imputation.methods.adapted.adaptation import Scans

    cases = {case: data.acquired[case] for case in data.imputed}
    return Scans(cases, dict(zip(data.splits["case"], data.splits["subject"], strict=True)))


def train(data, params, run):
    from slicefill.imputation.methods.adapted.adaptation import adapt
    from slicefill.imputation.methods.pretrained import load_pretrained

    made = adapt(_scans(data), load_pretrained(), params, run)
    return {**made, "kind": "adapted", "window": made["params"]["window"]}


def training_fingerprint(data, params):
    from slicefill.imputation.methods.adapted.adaptation import adaptation_fingerprint
    from slicefill.imputation.methods.pretrained import load_pretrained

    return adaptation_fingerprint(_scans(data), load_pretrained(), params)
