"""Random fingerprints: parameters, simulated noisy signals and their bounds."""

import numpy as np
from joblib import delayed
from tqdm.auto import tqdm

from .._options import check_flag
from .._parallel import in_parallel
from .._simulations import check_memory, random_state_of
from .._threads import one_blas_thread
from .._validation import check_count, check_model
from ..bounds import noise_of_signals, signal_and_bound, warn_of_bound
from ..noise import add_noise, check_snr, noise_of_data
from .distributions import check_distributions, draw_parameters

_CHUNK = 1024


def make_fingerprints(
    model,
    n_samples=1000,
    *,
    snr=100.0,
    distributions=None,
    return_crb=False,
    random_state=None,
    n_jobs=None,
    verbose=False,
):
    """Draw parameters and simulate noisy signals with random phase.

    Parameters
    ----------
    model : SignalModel
        Model that simulates the signals.
    n_samples : int, default=1000
        Number of fingerprints.
    snr : float or tuple of float, default=100.0
        abs(M0)/sigma, one number or a range from which each sample draws uniformly.
        M0 has magnitude 1, and a random phase, if the signal is complex; of a real model
        it is the amplitude, if there is one. The noise of magnitudes is Rician whatever
        ``model.noise``, which concerns the bound only. For features that differ in noise,
        give clean signals to :func:`crbestim.noise.add_noise`.
    distributions : dict, default=None
        SciPy frozen distributions by parameter name. The others, or all by default,
        follow the model's own inside its bounds; by default a tenth of the draws is fluid.
        The amplitude of a real model is 1, or spread over its bounds on a logarithmic
        scale if these are not (0, inf).
    return_crb : bool, default=False
        Whether to also return the Cramér-Rao bound at each sample's noise.
    random_state : int, RandomState instance or None, default=None
        Seed. The result does not depend on `n_jobs`.
    n_jobs : int, default=None
        Number of joblib workers.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Noisy signals.
    y : ndarray of shape (n_samples, n_parameters)
        Parameters, in SI units.
    crb : ndarray of shape (n_samples, n_parameters)
        Cramér-Rao bounds, only if `return_crb`.
    known : ndarray of shape (n_samples, n_known)
        Values of the known parameters, only if the model has some. The signals do not
        depend on which parameters are known, unless known values may lie where others
        are not looked for, as B1 of :class:`~crbestim.models.MultiEchoSpinEcho`.

    Raises
    ------
    ValueError
        If a number is out of range or a name is unknown.

    Warns
    -----
    SingularInformationWarning
        If bounds are returned and some are infinite.
    LowSignalWarning
        If bounds are returned and those of Gaussian noise do not hold for magnitudes.

    Examples
    --------
    >>> from crbestim.datasets import make_fingerprints
    >>> from crbestim.models import MagnetizationTransfer
    >>> from crbestim.sequences import HybridStateSequence
    >>> sequence = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
    >>> model = MagnetizationTransfer(sequence)
    >>> X, y = make_fingerprints(model, 10, snr=(20, 50), random_state=0)
    >>> X.shape, y.shape
    ((10, 4), (10, 7))
    """
    check_model(model)
    snr_range = check_snr(snr)
    check_distributions(model.whole, distributions)
    if model.known is not None:
        raise ValueError(
            f"{model} is at known values, but fingerprints draw them; leave out .at(...)."
        )
    return_crb = check_flag("return_crb", return_crb)
    n_samples = check_count(n_samples, "n_samples")
    check_memory(n_samples, model.n_reals + model.whole.n_parameters, "n_samples")
    sizes = [min(_CHUNK, n_samples - i) for i in range(0, n_samples, _CHUNK)]
    entropy = random_state_of(random_state).randint(2**31 - 1, size=4)
    seeds = np.random.SeedSequence(entropy.tolist()).spawn(len(sizes))
    tasks = (
        delayed(_chunk)(model, size, snr_range, distributions, return_crb, seed)
        for size, seed in zip(sizes, seeds, strict=True)
    )
    chunks = in_parallel(tasks, n_jobs)
    chunks = tqdm(chunks, total=len(sizes), desc="fingerprints", disable=not verbose)
    X, theta, snr, *rest = (np.concatenate(part) for part in zip(*chunks, strict=True))
    if return_crb:
        model = model.at(rest[-1]) if model.known_names else model
        warn_of_bound(model, theta, rest[0], noise_std=1 / snr)
    return X, theta, *rest


@one_blas_thread
def _chunk(model, size, snr_range, distributions, return_crb, seed):
    rng = np.random.default_rng(seed)
    whole = draw_parameters(model.whole, size, rng, distributions)
    snr = rng.uniform(*snr_range, size=size)
    theta, *known = _split(model, whole)
    model = model.at(*known) if known else model
    if return_crb:
        signal, *bounds = signal_and_bound(model, theta, noise_std=1 / snr)
    else:
        signal, bounds = model._checked_signal(model.check_theta(theta)), ()
    sigma = noise_of_signals(model, theta, 1 / snr)
    X = add_noise(signal, 1 / sigma, rng, noise=noise_of_data(model))
    return X, theta, snr, *bounds, *known


def _split(model, whole):
    """Return the columns of a model's parameters, and of its known ones if it has any."""
    names = model.whole.parameter_names
    groups = [model.parameter_names, model.known_names]
    return [whole[:, [names.index(name) for name in g]] for g in groups if g]
