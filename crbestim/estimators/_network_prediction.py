"""What a trained network says of new data: estimates, their precision, what is odd."""

import warnings

import numpy as np

from ..datasets.noise import add_noise
from ..exceptions import NoiseLevelWarning
from ..metrics import wrapped_error
from ._base import BoundedRegressor, rows_of
from ._explanation import check_sigma, explain
from ._network import run_network
from ._objective import unknowns

# Voxels among which the noise is looked at. Their median signal-to-noise ratio may be as
# far below that of all but a share of training voxels at the low end, or as far above.
_N_PROBES, _SHARE, _FAR = 64, 0.05, 1.5
# Shares of normal errors within so many standard deviations.
_WIDTHS, _COVERAGES = (1.0, 1.96), (0.6827, 0.95)


class NetworkPrediction(BoundedRegressor):
    """Use of a network whose training has set weights, scales, reference and prior."""

    def predict(self, X, return_std=False, *, sigma=None, known=None):
        """Estimate parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Signals of any scale and, if complex, any phase.
        return_std : bool, default=False
            Whether to return standard deviations, too: the square root of the diagonal of
            the inverse of the Fisher information at the estimate, for the M0 of each voxel
            and its noise, plus the inverse covariance of the training targets; times the
            factors of `std_factors_`. It is smaller than the Cramér-Rao bound's where the
            data say less than the prior.
        sigma : float or array-like of shape (n_samples,), default=None
            Noise of X per channel, for the standard deviations. By default estimated voxel
            by voxel from what the model leaves unexplained; or if a signal has no more
            numbers than there are unknowns, `noise_std` times abs(M0). Rician noise of
            magnitudes cannot be estimated so, and must be given.
        known : array-like of shape (n_samples, n_known), default=None
            Values of the parameters that the model is given, or what else ``fit`` was told
            of each sample. Voxels where they are NaN or outside of their domain cannot be
            estimated.

        Returns
        -------
        y : ndarray of shape (n_samples, n_outputs), or (n_samples,) as in ``fit``
            Parameters, in SI units; NaN for voxels whose signal is zero throughout or has
            values that are not finite.
        std : ndarray of the same shape
            Standard deviations, only if `return_std`.

        Raises
        ------
        ValueError
            If X has other features than in ``fit``, or `return_std` is asked for without a
            model, or for Rician noise without `sigma`.

        Warns
        -----
        NoiseLevelWarning
            If X is much noisier or less noisy than what training drew.
        """
        X, known, usable = self._check_predict(X, known)
        y, known = np.full((len(X), self.n_outputs_), np.nan), rows_of(known, usable)
        model = self._model_at(known)
        if usable.any():
            y[usable] = self._forward(X[usable], known)
            self._warn_of_noise(model, X[usable], y[usable])
        if not return_std:
            return self._shape_like_targets(y)
        self._check_has_model("return_std")
        sigma = check_sigma(sigma, len(X), usable)
        std = np.full_like(y, np.nan)
        if usable.any():
            sigma = rows_of(sigma, usable)
            seen = explain(
                model,
                X[usable],
                y[usable],
                sigma=sigma,
                noise_std=self.noise_std,
                prior_precision=self.prior_precision_,
            )
            snr = seen.snr if sigma is None else np.abs(seen.m0) / sigma
            std[usable] = seen.std * self._std_factors(snr)
        return self._shape_like_targets(y), self._shape_like_targets(std)

    def _forward(self, X, known):
        """Estimates of voxels that can be estimated."""
        others = self.known_inputs_.inputs(known, len(X))
        scaled = run_network(
            self.architecture_, self.weights_, self.reference_, X, others, self.n_jobs
        )
        y = self.offset_ + self.scale_ * scaled
        return y if self.model is None else np.clip(y, *self.model.bounds.T)

    @property
    def _can_probe(self):
        """Whether training drew noise, and signals tell it from the parameters."""
        if not (np.isfinite(self.snr_range_).all() and self.model.has_jacobian):
            return False
        n_real, n_unknown = unknowns(self.model)
        return n_real > n_unknown

    def _calibrate(self, y, known, rng):
        """Simulate voxels at the trained noise; see how far estimates are off.

        The factor of a standard deviation makes one and 1.96 of them cover 68 and 95 % of
        the errors, or where it cannot do both, as much less of one as more of the other.
        """
        self._forget_calibration()
        if not self._can_probe:
            return
        low, high = self.snr_range_
        levels = np.unique([low, np.sqrt(low * high), high])
        model, noise = self._model_at(known), np.random.default_rng(rng.randint(2**31 - 1))
        clean = model.evaluate(y)
        ends, factors = [], []
        for level in levels:
            # Rician noise is not learned from voxels: a standard deviation needs sigma.
            is_given = model.noise == "rician"
            X = add_noise(clean, level, noise, is_magnitude=model.is_magnitude)
            estimate = self._forward(X, known)
            seen = explain(
                model,
                X,
                estimate,
                sigma=np.full(len(X), 1 / level) if is_given else None,
                prior_precision=self.prior_precision_,
            )
            ratio = np.abs(wrapped_error(y, estimate, self._periods)) / seen.std
            both = np.concatenate([ratio / width for width in _WIDTHS])
            ends.append(np.quantile(seen.snr, [_SHARE, 1 - _SHARE]))
            factors.append(np.quantile(both, np.mean(_COVERAGES), axis=0))
        self.apparent_snr_range_ = float(ends[0][0]), float(ends[-1][1])
        self.std_factors_ = {"snr": levels, "factor": np.array(factors)}

    def _forget_calibration(self):
        self.apparent_snr_range_ = np.nan, np.nan
        factors = np.ones((1, self.n_outputs_))
        self.std_factors_ = {"snr": np.ones(1), "factor": factors}

    def _std_factors(self, snr):
        """Calibration of standard deviations at signal-to-noise ratios."""
        levels = np.log(self.std_factors_["snr"])
        columns = self.std_factors_["factor"].T
        snr = np.log(np.clip(np.nan_to_num(snr), 1e-300, 1e300))
        return np.column_stack([np.interp(snr, levels, column) for column in columns])

    def _warn_of_noise(self, model, X, y):
        """Warn if some of the voxels are far noisier or quieter than training data."""
        low, high = self.apparent_snr_range_
        if self.model is None or not np.isfinite(high):
            return
        rows = np.linspace(0, len(X) - 1, min(len(X), _N_PROBES)).astype(int)
        snr = np.median(explain(model.rows(rows), X[rows], y[rows]).snr)
        if low / _FAR <= snr <= high * _FAR:
            return
        kind = "noisier" if snr < low else "less noisy"
        warnings.warn(
            f"X is much {kind} than what the network was trained for, or the model does "
            f"not describe it: its signal-to-noise ratio looks like {snr:.3g}, and that of "
            f"training data like {low:.3g} to {high:.3g} (in truth "
            f"{self.snr_range_[0]:.4g} to {self.snr_range_[1]:.4g}); train with an snr "
            "that covers the data",
            NoiseLevelWarning,
            stacklevel=3,
        )
