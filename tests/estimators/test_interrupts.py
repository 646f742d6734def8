"""Ctrl-C: what an interrupted fit keeps, and how soon a call ends."""

import itertools

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from crbestim import CRBRegressor, OneStepRegressor
from crbestim.estimators import _calibration
from crbestim.network import training


class Recorder:
    """A callback of scikit-learn that notes what it is told."""

    def __init__(self):
        self.tasks = []

    def setup(self, estimator, context):
        self.tasks.append("setup")

    def teardown(self, estimator, context):
        self.tasks.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.tasks.append(context.task_name)


def small(model=None, **changes):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


def interrupt(monkeypatch, owner, name, *calls):
    """Let some calls of a function be interrupted."""
    count, real = itertools.count(), getattr(owner, name)

    def interrupted(*args, **kwargs):
        if next(count) in calls:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_interrupt_is_raised_and_leaves_a_usable_estimator(
    model, fingerprints, monkeypatch, early_stopping
):
    interrupt(monkeypatch, training.Trainer, "step", 25)
    reg, recorder = small(model, max_iter=50, early_stopping=early_stopping), Recorder()
    if hasattr(reg, "_init_callback_context"):
        reg.set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt, match="after . whole epochs?; the estimator is"):
        reg.fit(*fingerprints)
    assert 0 < reg.n_iter_ < 50
    assert recorder.tasks[-1:] in (["teardown"], [])
    _, std = reg.predict(fingerprints[0], return_std=True)
    assert np.isfinite(std).all() and len(reg.std_factors_["snr"]) > 0
    if early_stopping:
        assert reg.best_loss_ == min(r["validation_loss"] for r in reg.history_)


def test_interrupt_before_the_first_epoch_ends_changes_nothing(
    model, fingerprints, monkeypatch
):
    reg, fresh = small(model).fit(*fingerprints), small(model)
    before = dict(vars(reg))
    interrupt(monkeypatch, training.Trainer, "step", 1, 3, 5)
    for call in (fresh.fit, reg.fit, reg.partial_fit):
        with pytest.raises(KeyboardInterrupt):
            call(*fingerprints)
    assert not hasattr(fresh, "weights_")
    for name, value in vars(reg).items():
        assert value is before[name] or name == "_random_state"


@pytest.mark.parametrize(("calls", "n_factors"), [([0], 64), ([0, 1], None)])
def test_interrupt_of_the_calibration_keeps_the_weights(
    model, fingerprints, monkeypatch, calls, n_factors
):
    n_probes, real = [], _calibration.calibrate_in_time
    monkeypatch.setattr(
        _calibration,
        "calibrate_in_time",
        lambda reg, y, *rest: n_probes.append(len(y)) or real(reg, y, *rest),
    )
    interrupt(monkeypatch, _calibration, "calibrate_in_time", *calls)
    reg = small(model, early_stopping=False)
    with pytest.raises(KeyboardInterrupt, match="the estimator is fitted"):
        reg.fit(*fingerprints)
    assert reg.n_iter_ == reg.max_iter
    assert n_probes == ([] if n_factors is None else [n_factors])
    assert np.isfinite(reg.predict(fingerprints[0], return_std=True)[1]).all()


def test_interrupt_of_an_estimator_inside_changes_nothing(model, fingerprints, monkeypatch):
    outer = OneStepRegressor(small(model), model).fit(*fingerprints)
    before = dict(vars(outer))
    interrupt(monkeypatch, training.Trainer, "step", 25)
    with pytest.raises(KeyboardInterrupt, match="the estimator is fitted"):
        outer.set_params(estimator__max_iter=50).fit(*fingerprints)
    assert all(value is before[name] for name, value in vars(outer).items())


def test_interrupt_ends_a_grid_search(model, fingerprints, monkeypatch):
    interrupt(monkeypatch, training.Trainer, "step", 25)
    search = GridSearchCV(small(model), {"alpha": [1e-4, 1e-3]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(*fingerprints[:2])
    assert not hasattr(search, "cv_results_")
