"""Progress bars: what they count, and that they are shown on request only."""

import pytest

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim._progress import with_progress
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential

MODEL = MonoExponential([0.01, 0.03, 0.06], signal="magnitude")


def test_a_bar_counts_what_is_done(capsys):
    results = with_progress(iter("ab"), [2, 3], "voxels", True)
    assert next(results) == "a"
    assert list(results) == ["b"]
    shown = capsys.readouterr().err
    assert "voxels:" in shown and "5/5" in shown
    assert list(with_progress(iter("ab"), [2, 3], "voxels", False)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_there_is_a_size_for_each_result():
    with pytest.raises(ValueError, match="shorter"):
        list(with_progress(iter("ab"), [2], "voxels", False))


@pytest.mark.parametrize(
    ("estimator", "bars"),
    [
        (DictionaryRegressor(MODEL), ["matching"]),
        (NLLSRegressor(MODEL), ["matching", "voxels"]),
        (OneStepRegressor(model=MODEL), ["matching", "voxels"]),
    ],
    ids=["matching", "least squares", "step"],
)
def test_estimators_show_bars_if_verbose(estimator, bars, capsys):
    X, y = make_fingerprints(MODEL, 70, random_state=0)
    estimator.fit(X, y).predict(X[:30])
    assert capsys.readouterr().err == ""
    estimator.set_params(verbose=True).fit(X, y)
    shown = capsys.readouterr().err
    assert "atoms: 100%" in shown
    estimator.predict(X[:30])
    shown = capsys.readouterr().err
    for bar in bars:
        assert f"{bar}: 100%" in shown
    assert "30/30" in shown


def test_a_bar_of_neighbours(capsys):
    X, y = make_fingerprints(MODEL, 70, random_state=0)
    DictionaryRegressor(verbose=1).fit(X, y).kneighbors(X)
    assert "70/70" in capsys.readouterr().err
