import logging

from slicefill.tuning.tuned import use_best

BEST = {"values": {"weights.warp": 0.3, "optimisation.learning_rate": 0.002}, "study": "s"}


def test_only_the_preset_tuned_takes_what_was_found(params):
    assert use_best(params, BEST) is params
    chosen = params.model_copy(update={"preset": "tuned"})
    made = use_best(chosen, BEST)
    assert made.lambdas == {**chosen.lambdas, "warp": 0.3}
    assert made.optimisation.learning_rate == 0.002
    assert params.lambdas["warp"] == 0.1


def test_a_variant_with_the_preset_takes_it_too(params):
    made = use_best(params.model_copy(update={"variant": "si_tuned"}), BEST)
    assert made.lambdas["warp"] == 0.3


def test_where_nothing_was_tuned_the_shipped_preset_is_used_and_the_log_says_so(params, caplog):
    chosen = params.model_copy(update={"preset": "tuned"})
    with caplog.at_level(logging.INFO):
        assert use_best(chosen, {}) is chosen
    assert "as shipped" in caplog.text
