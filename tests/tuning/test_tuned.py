import logging

from slicefill.imputation.methods import find_method
from slicefill.tuning.space import use_best

BEST = {"values": {"weights.warp": 0.3, "optimisation.learning_rate": 0.002}, "study": "s"}


def test_only_the_preset_tuned_takes_what_was_found(params):
    assert use_best(params, BEST) is params
    chosen = params.model_copy(update={"preset": "tuned"})
    made = use_best(chosen, BEST)
    assert made.lambdas == {**chosen.lambdas, "warp": 0.3}
    assert made.optimisation.learning_rate == 0.002
    assert params.lambdas["warp"] == 0.1


def test_a_method_with_the_preset_takes_it_too(tiny_parameters):
    made = use_best(find_method("si_tuned", tiny_parameters).params, BEST)
    assert made.lambdas["warp"] == 0.3


def test_where_nothing_was_tuned_the_shipped_preset_is_used_and_the_log_says_so(params, caplog):
    chosen = params.model_copy(update={"preset": "tuned"})
    with caplog.at_level(logging.INFO):
        assert use_best(chosen, {}) is chosen
    assert "as in conf" in caplog.text
