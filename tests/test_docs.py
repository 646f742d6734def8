"""The code that the pages show does what they say, and the pages are up to date."""

import doctest
import importlib.util
import inspect
import pickle
import re
import runpy
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from crbestim import CRBRegressor, NLLSRegressor, models
from crbestim.bounds import cramer_rao_bound, signal_and_bound
from crbestim.datasets import make_fingerprints
from crbestim.metrics import efficiency_score
from tests.conftest import ROOT
from tests.design import test_controls
from tests.models import test_properties
from tests.models.conftest import draw
from tests.test_project import PACKAGE, ROWS

DOCS = ROOT / "docs"
GUIDE = DOCS / "guide"
BUILT = DOCS / "contributing.rst"
EXAMPLES = DOCS / "contributing_examples.py"
# Pages by the code that they show.
CODE = {
    DOCS / "nine_lines.py": DOCS / "index.rst",
    GUIDE / "compare.py": GUIDE / "compare.rst",
    GUIDE / "own_model.py": GUIDE / "own_model.rst",
    GUIDE / "multi_echo.py": GUIDE / "models.rst",
    GUIDE / "field_maps.py": GUIDE / "models.rst",
    GUIDE / "magnetization_transfer.py": GUIDE / "models.rst",
    GUIDE / "inversion.py": GUIDE / "models.rst",
    EXAMPLES: BUILT,
}


def test_nine_lines(capsys):
    names = runpy.run_path(str(DOCS / "nine_lines.py"))
    code = (DOCS / "nine_lines.py").read_text("utf-8").split("# begin lines\n")[1]
    assert len([line for line in code.splitlines() if line and line[0] != "#"]) == 9
    code = code.split("# end lines")[0]
    assert f"```python\n{code}```\n" in (ROOT / "README.md").read_text("utf-8")
    # The mean of 1000 errors of each of two columns, and three of its standard deviations.
    assert float(capsys.readouterr().out) == pytest.approx(1, abs=0.2)
    assert names["maps"].shape == names["std"].shape == names["low"].shape == (1000, 2)


@pytest.fixture(scope="module")
def figures():
    """Return the names of docs/figures.py."""
    return runpy.run_path(str(DOCS / "figures.py"))


def drawn(theme):
    """Return the titles and the efficiencies in the figure of the landing page."""
    text = (DOCS / "_static" / f"idea-{theme}.svg").read_text("utf-8")
    return text, [float(value) for value in re.findall(r">efficiency ([\d.]+)<", text)]


def test_the_figure_of_the_landing_page_says_what_is_so(figures):
    _, errors = figures["measure"](figures["fitted"](max_iter=40), 8, 200)
    square, _, bound, least = ((bias**2 + sd**2).mean() for bias, sd in errors.values())
    assert least == pytest.approx(1, abs=0.15)
    assert least < bound < square / 2
    for theme in ("light", "dark"):
        text, efficiencies = drawn(theme)
        assert all(f">{name}<" in text for name in errors)
        assert efficiencies == sorted(efficiencies) and len(efficiencies) == 4


@pytest.mark.slow
def test_the_figure_of_the_landing_page_is_what_its_script_draws(figures):
    _, errors = figures["measure"](figures["fitted"]())
    measured = [1 / (bias**2 + sd**2).mean() for bias, sd in errors.values()]
    for theme in ("light", "dark"):
        # Networks trained on another type of processor differ a little.
        np.testing.assert_allclose(drawn(theme)[1], measured, atol=0.03)


def test_estimators_of_the_page_on_comparisons():
    names = runpy.run_path(str(GUIDE / "compare.py"))
    columns = "crb_loss", "median_ratio", "outlier_share", "bias_ratio", "variance_ratio"
    measured = [np.asarray(names["table"][name]) for name in columns]
    shown = [[1.01, 2.91], [1.02, 1.67], [0.00, 0.02], [0.00, 1.91], [1.00, 1.00]]
    np.testing.assert_allclose(measured, shown, atol=0.0051)
    assert names["theirs"]["crb_loss"].tolist() == pytest.approx([28.2], rel=0.05)
    assert names["scores"].shape == (3,)


@pytest.fixture(scope="module")
def own_model():
    """Return the names of docs/guide/own_model.py after it has run."""
    return runpy.run_path(str(GUIDE / "own_model.py"))


def test_the_ways_to_give_a_model_are_the_same(own_model):
    theta = np.linspace([0.05, 0.01, 0.06], [0.4, 0.03, 0.15], 5)
    exact, derivatives = own_model["analytic"].signal(theta, jacobian=True)
    norm = np.linalg.norm(derivatives, axis=1)
    for name in ("model", "many", "with_units", "compiled", "automatic"):
        s, jacobian = own_model[name].signal(theta, jacobian=True)
        np.testing.assert_allclose(s, exact, rtol=1e-14)
        error = np.linalg.norm(jacobian - derivatives, axis=1) / norm
        # The guide: ten digits of derivatives by differences.
        assert (error < (1e-13 if name == "automatic" else 1e-10)).all(), name


def test_every_estimator_works_with_it(own_model):
    y, crb = own_model["y"][:50], own_model["crb"][:50]
    network, fit, step = own_model["estimates"]
    guess = np.broadcast_to(own_model["y"].mean(axis=0), y.shape)
    efficiency = [efficiency_score(y, e, crb) for e in (guess, network, fit, step)]
    assert efficiency[0] < efficiency[1]
    assert efficiency[1] < efficiency[3]


def test_multi_echo_spin_echoes_of_the_guide():
    names = runpy.run_path(str(GUIDE / "multi_echo.py"))
    images, b1 = names["images"], names["b1_map"]
    decay = names["decay"].predict(images)[:, 0]
    np.testing.assert_allclose(decay, [0.094, 0.086], atol=5e-4)
    found = names["fit"].predict(images)
    np.testing.assert_allclose(found, [[0.08, 0.7, 1500], [0.08, 0.8, 1500]], rtol=1e-5)
    given = names["given"].predict(images, known=b1)
    np.testing.assert_allclose(given, [[0.08, 1500]] * 2, rtol=1e-8)


def test_magnetization_transfer_of_the_guide():
    names = runpy.run_path(str(GUIDE / "magnetization_transfer.py"))
    images, b1 = names["images"], names["b1_map"]
    found = names["fit"].predict(images, known=b1, sigma=1.0)
    np.testing.assert_allclose(found, [[1.0, 0.016, 1500], [0.7, 0.008, 1500]], rtol=1e-6)
    found = names["two_pools"].predict(names["spectra"], known=names["r1_map"])
    np.testing.assert_allclose(found, names["tissue"], rtol=1e-4)


def test_field_maps_of_the_guide():
    names = runpy.run_path(str(GUIDE / "field_maps.py"))
    for name in ("b1", "omega0"):
        np.testing.assert_allclose(names[f"{name}_map"], names[name], rtol=1e-8)
    for scan in (names["double"], names["afi"]):
        images = scan.signal(np.hstack([names["b1"], [[1500.0], [1200.0]]]))
        b1 = NLLSRegressor(scan).fit(images).predict(images)[:, :1]
        np.testing.assert_allclose(b1, names["b1"], rtol=1e-8)
    images, maps, tissue = names["images"], names["maps"], [[0.9, 0.07], [1.4, 0.1]]
    found = names["given"].predict(images, known=maps[:, :1])
    np.testing.assert_allclose(found, np.hstack([tissue, maps[:, 1:]]), rtol=1e-6)
    found = names["given_both"].predict(images, known=maps)
    np.testing.assert_allclose(found, tissue, rtol=1e-6)


def test_inversions_of_the_guide():
    names = runpy.run_path(str(GUIDE / "inversion.py"))
    t1 = names["fit"].predict(names["uni"])[:, 0]
    np.testing.assert_allclose(t1, [0.921, 1.474, np.nan], atol=1e-3)
    np.testing.assert_allclose(names["corrected"][:2, 0], [0.903, 1.503], atol=1e-3)
    np.testing.assert_array_equal(np.isnan(names["std"][:, 0]), [False, False, True])
    np.testing.assert_allclose(names["known_angle"], [[0.9, 1.0, 1500.0]], rtol=1e-6)
    np.testing.assert_allclose(names["t1"], [[1.2, 0.95, 800.0]], rtol=1e-6)
    np.testing.assert_allclose(names["fixed"], [[1.2, 800.0]], rtol=1e-6)
    assert names["apparent"] * names["ratio"] == pytest.approx(1.044, abs=1e-3)


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.stem)
def test_the_page_shows_all_of_the_code(path):
    code = path.read_text("utf-8")
    text = CODE[path].read_text("utf-8")
    begun = [line[8:] for line in code.splitlines() if line.startswith("# begin ")]
    assert begun
    for name in begun:
        assert f"# end {name}\n" in code
        assert f":start-after: # begin {name}\n   :end-before: # end {name}\n" in text


def test_pages_of_models_begin_with_the_equation_at_the_head_of_their_file():
    jinja2 = pytest.importorskip("jinja2")
    source = (DOCS / "_templates/autosummary/class.rst").read_text("utf-8")
    environment = jinja2.Environment()
    # What autosummary gives to templates.
    environment.filters["underline"] = str
    template = environment.from_string(source)
    for name in models.__all__:
        kind = getattr(models, name)
        page = template.render(module="crbestim.models", objname=name)
        heads = re.findall(
            "automodule:: (.*)\n(?s:.*)currentmodule:: crbestim.models\n", page
        )
        assert heads == ([] if name.endswith("Model") else [kind.__module__])


# How the library is built


def test_the_map_has_every_part_in_its_row():
    page = BUILT.read_text("utf-8")
    entries = re.findall(r"^   \* - *(\d*)\n     - ``(\w+)/?``$", page, re.MULTILINE)
    rows, row = {}, 0
    for number, part in entries:
        row = int(number or row)
        rows[part] = row
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    parts = {p for p in parts if not p.startswith("__")}
    level = {part: i for i, row in enumerate(ROWS, 1) for part in row}
    assert rows == {part: level.get(part, 1) for part in parts}


def test_the_files_that_the_page_names_exist():
    page = BUILT.read_text("utf-8")
    names = set(re.findall(r"``([\w/.]+\.(?:py|rst))``", page))
    assert len(names) > 25
    roots = (ROOT, PACKAGE)
    lost = {name for name in names if not any((r / name).is_file() for r in roots)}
    assert not lost


@pytest.fixture(scope="module")
def page():
    """Return the module docs/contributing_examples.py."""
    path = EXAMPLES
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    # Where pickle looks for its classes.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


@pytest.fixture(scope="module")
def data(page):
    """Return fingerprints to learn from, and others to score with."""
    options = dict(snr=100, return_crb=True)
    return [
        make_fingerprints(page.model, n, random_state=seed, **options)
        for seed, n in enumerate((1000, 300))
    ]


def properties():
    """Return the tests of all models that ask for nothing but a model and its theta."""
    tests = {k: f for k, f in vars(test_properties).items() if k.startswith("test_")}
    asks = {name: {*inspect.signature(test).parameters} for name, test in tests.items()}
    return {name: tests[name] for name in tests if asks[name] <= {"model", "theta"}}


@pytest.mark.parametrize("name", properties())
@pytest.mark.parametrize("signal", ["complex", "magnitude"])
def test_the_model_passes_the_tests_of_all_models(name, signal, page, monkeypatch):
    monkeypatch.setitem(
        test_properties.TEXT_NAMES, "DiffusionKurtosis", page.DiffusionKurtosis
    )
    test = properties()[name]
    model = page.DiffusionKurtosis(page.b, signal=signal)
    given = {"model": model, "theta": draw(model, 6)}
    test(**{k: given[k] for k in inspect.signature(test).parameters})


def test_the_model_has_an_example_that_runs_and_controls(page):
    (example,) = doctest.DocTestFinder(recurse=False).find(page.DiffusionKurtosis)
    assert doctest.DocTestRunner().run(example) == (0, len(example.examples))
    assert example.examples
    test_controls.test_a_model_is_made_again_with_other_settings(page.model)
    assert page.model.controls


def test_least_squares_reaches_the_bound_of_the_model(page, data):
    (X, y, crb), (X_test, y_test, crb_test) = data
    fit = NLLSRegressor(page.model).fit(X, y, crb=crb)
    # Five standard deviations of a mean of 900 squares are 0.24; at SNR 100 the noise is
    # all but Gaussian.
    assert fit.score(X_test, y_test, crb=crb_test) == pytest.approx(1, abs=0.24)


def test_the_estimator_scores(page, data):
    (X, y, crb), (X_test, y_test, crb_test) = data
    reg = clone(page.kernel).fit(X, y, crb=crb)
    assert reg.score(X_test, y_test, crb=crb_test) > 0.8
    # The model gives the same bound at the same noise.
    assert reg.score(X_test, y_test) == reg.score(X_test, y_test, crb=crb_test)
    assert np.isnan(reg.predict(np.full((1, 6), np.nan))).all()


def test_the_estimator_ignores_m0_and_takes_known_values(page):
    model = page.DiffusionKurtosis(page.b, signal="complex").given("K")
    X, y, known = make_fingerprints(model, 200, random_state=0)
    reg = page.KernelRegressor(model).fit(X, y, known=known)
    estimate = reg.predict(X, known=known)
    again = reg.predict(3j * X, known=known)
    np.testing.assert_allclose(again, estimate, rtol=1e-10)
    with pytest.raises(ValueError, match="KernelRegressor needs the known values of K"):
        reg.predict(X)


@pytest.mark.filterwarnings("ignore:KernelRegressor has neither a model nor crb")
def test_the_estimator_passes_scikit_learns_checks(page):
    check_estimator(page.KernelRegressor(), on_skip=None)


def test_a_network_learns_with_the_loss(page, data):
    (X, y, crb), (X_test, y_test, crb_test) = data
    loss = page.network.loss
    reg = CRBRegressor(
        page.model, loss=loss, hidden_layer_sizes=(32, 32), max_iter=20, random_state=0
    )
    reg.fit(X, y, crb=crb)
    assert reg.loss_curve_[-1] < reg.loss_curve_[0] / 10
    assert reg.score(X_test, y_test, crb=crb_test) > 0.8


def test_the_loss_by_hand(page):
    torch = pytest.importorskip("torch")
    loss = page.PseudoHuberLoss(width=2.0)
    # d = 1.5 w has the root sqrt(3.25), and is counted twice.
    total = loss.total(torch.tensor([[3.0, 0.0]]), torch.tensor([2.0, 1.0]))
    assert float(total) == pytest.approx(2 * 8 * (np.sqrt(3.25) - 1), rel=1e-6)
    small = torch.full((1, 1), 0.02, dtype=torch.float64)
    square = loss.total(small, torch.ones(1))
    assert float(square) == pytest.approx(0.02**2, rel=1e-4)


def test_the_noise_is_drawn_and_has_a_bound(page):
    noise, model, theta = page.FoldedNoise(), page.folded, [[1e-9, 1.0, 1.0]]
    X, y, crb = make_fingerprints(model, 2000, snr=3, random_state=0, return_crb=True)
    s = model.signal(y)
    # The mean square of a folded normal variable is that of the signal and of the noise.
    excess = X**2 - s**2
    assert (X >= 0).all()
    assert abs(excess.mean() - 1 / 9) < 5 * excess.std() / np.sqrt(excess.size)
    np.testing.assert_array_equal(crb, signal_and_bound(model, y, 1 / 3)[1])
    # Folding loses something, but less than the noise of a second channel takes.
    others = page.DiffusionKurtosis(page.b)
    folded, gaussian = (cramer_rao_bound(m, theta, 0.1) for m in (model, others))
    rician = cramer_rao_bound(others, theta, 0.1, noise="rician")
    assert (gaussian < folded).all() and (folded < rician).all()
    np.testing.assert_array_equal(folded, cramer_rao_bound(others, theta, 0.1, noise=noise))


def test_the_noise_agrees_with_its_likelihood(page):
    noise, a = page.FoldedNoise(), np.array([[0.0, 0.3, 1.0, 2.0, 5.0]])
    m = np.linspace(0, 17, 40_001)[:, None]
    density = np.exp(noise.log_likelihood(m, a, 1.0))
    np.testing.assert_allclose(np.trapezoid(density, m, axis=0), 1, rtol=1e-7)
    _, by_signal, by_sigma = noise.log_likelihood(m, a, 1.0, derivatives=True)
    for unit, found in (((1, 0), by_signal), ((0, 1), by_sigma)):
        high, low = (
            noise.log_likelihood(m, a + h * unit[0], 1 + h * unit[1]) for h in (1e-5, -1e-5)
        )
        # Central differences of values up to 150, and third derivatives up to 1e3.
        np.testing.assert_allclose(found, (high - low) / 2e-5, rtol=1e-6, atol=1e-6)
    score = np.trapezoid(density * by_signal**2, m, axis=0)
    information = noise.information(a, np.ones((1, 1)))[0]
    np.testing.assert_allclose(information, score, rtol=0, atol=1e-6)
    twice = noise.information(2 * a, np.full((1, 1), 2.0))[0]
    np.testing.assert_allclose(twice, information, rtol=1e-12)


def test_the_noise_trains_a_network(page):
    model = page.DiffusionKurtosis(page.b, noise=page.FoldedNoise())
    X, y = make_fingerprints(model, 300, snr=20, random_state=0)
    reg = CRBRegressor(
        model, noise_std=1 / 20, hidden_layer_sizes=(16,), max_iter=5, random_state=0
    )
    reg.fit(X, y)
    assert reg.loss_curve_[-1] < reg.loss_curve_[0]
    twin = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(twin.predict(X), reg.predict(X))
