"""Networks in use compute what the modules that were trained do."""

import numpy as np
import pytest

from crbestim.network.inference import Layers
from crbestim.network.modules import ACTIVATIONS

torch = pytest.importorskip("torch")
PERIODS = np.array([np.inf, 2.0, np.inf])


def module_of(activation, dtype, widths=(12, 20, 20)):
    from crbestim.network.modules import FingerprintNetwork, whitening_of

    module = FingerprintNetwork(12, widths, PERIODS, activation)
    module = module.to(getattr(torch, dtype))
    module.initialize(torch.Generator().manual_seed(0))
    X = np.random.default_rng(0).normal(1.0, 2.0, size=(40, 12))
    module.set_inputs(*whitening_of(torch.as_tensor(X)))
    return module, X


def layers_of(module, activation="gelu", dtype="float32", widths=(12, 20, 20), **changes):
    weights = {name: value.numpy() for name, value in module.state_dict().items()} | changes
    return Layers.of(weights, widths, activation, dtype, PERIODS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_they_are_those_of_torch(activation, dtype):
    module, X = module_of(activation, dtype)
    found = layers_of(module, activation, dtype)(X[:, :5], X[:, 5:])
    with torch.inference_mode():
        expected = module(torch.as_tensor(X).to(getattr(torch, dtype))).numpy()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_weights_in_any_order_of_memory_that_cannot_be_written():
    module, X = module_of("gelu", "float32")
    expected, weights = layers_of(module)(X), {}
    for name, value in module.state_dict().items():
        weights[name] = np.asfortranarray(value.numpy().astype(float))
        weights[name].flags.writeable = False
    np.testing.assert_array_equal(layers_of(module, **weights)(X), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden.1.weight": np.ones((20, 13))},
            r"hidden.1.weight .*\(20, 13\).*\(20, 12\)",
        ),
        ({"head.bias": np.ones(3)}, r"head.bias have shape \(3,\).*asks for \(4,\)"),
        ({"hidden.2.bias": None}, "weights_ and network_ of the same fit"),
        ({"whitening": np.eye(11)}, "whitening have shape"),
    ],
)
def test_weights_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        layers_of(module_of("gelu", "float32")[0], **changes)


def test_features_that_do_not_fit():
    module, X = module_of("gelu", "float32")
    with pytest.raises(ValueError, match="11 features for 12 inputs"):
        layers_of(module)(X[:, :11])
