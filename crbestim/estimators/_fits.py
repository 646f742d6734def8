"""What is known of each voxel after a least-squares fit."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np


class VoxelStatus(IntEnum):
    """How the fit of a voxel ended.

    ``CONVERGED``, ``ITERATION_LIMIT`` (the estimate is the best so far), ``EMPTY`` (an
    all-zero complex signal), ``FAILED`` (the model is not finite), ``INVALID`` (the signal
    has NaN or infinite values) or ``STALLED`` (no step lowers the cost, though the model's
    derivatives say that one should; the estimate is the best so far). ``EMPTY``,
    ``FAILED`` and ``INVALID`` have NaN for an estimate.

    Examples
    --------
    >>> from crbestim.estimators.nlls import VoxelStatus
    >>> VoxelStatus(1).name
    'ITERATION_LIMIT'
    """

    CONVERGED = 0
    ITERATION_LIMIT = 1
    EMPTY = 2
    FAILED = 3
    INVALID = 4
    STALLED = 5


@dataclass(frozen=True, eq=False)
class VoxelFits:
    """Least-squares fits, one voxel a row.

    Attributes
    ----------
    theta : ndarray of shape (n_voxels, n_parameters)
        Estimates, in SI units; NaN where there is none.
    m0 : ndarray of shape (n_voxels,), complex
        Factor of the model's signal, in units of X; 1 for a real model.
    cost : ndarray of shape (n_voxels,)
        Half the squared norm of the residual ``x - m0 * s(theta)``.
    relative_residual : ndarray of shape (n_voxels,)
        Norm of the residual over that of x.
    covariance : ndarray of shape (n_voxels, n_parameters, n_parameters)
        Inverse of the Fisher information at the estimate, as if it were inside the
        bounds, plus that of the prior if there is one; see
        :func:`~crbestim.bounds.covariance_from_information` where it is singular. NaN
        under Rician noise that is not given.
    status : ndarray of int, shape (n_voxels,)
        Codes of :class:`VoxelStatus`.
    n_iterations : ndarray of int, shape (n_voxels,)
        How many steps were tried.
    at_bound : ndarray of bool, shape (n_voxels, n_parameters)
        Whether an estimate lies at one of its bounds, to 1e-4 of their distance; never for
        parameters whose bounds span their period.
    """

    theta: np.ndarray
    m0: np.ndarray
    cost: np.ndarray
    relative_residual: np.ndarray
    covariance: np.ndarray
    status: np.ndarray
    n_iterations: np.ndarray
    at_bound: np.ndarray

    @classmethod
    def without_estimate(cls, status, n_parameters):
        """Return voxels that were not fitted.

        Parameters
        ----------
        status : ndarray of int, shape (n_voxels,)
            Codes of :class:`VoxelStatus`.
        n_parameters : int
            Number of parameters.

        Returns
        -------
        VoxelFits
            NaN throughout.
        """
        n = len(status)
        return cls(
            theta=np.full((n, n_parameters), np.nan),
            m0=np.full(n, np.nan, dtype=complex),
            cost=np.full(n, np.nan),
            relative_residual=np.full(n, np.nan),
            covariance=np.full((n, n_parameters, n_parameters), np.nan),
            status=np.array(status, dtype=int),
            n_iterations=np.zeros(n, dtype=int),
            at_bound=np.zeros((n, n_parameters), dtype=bool),
        )

    @classmethod
    def concatenate(cls, parts):
        """Join fits of several chunks of voxels.

        Parameters
        ----------
        parts : sequence of VoxelFits
            The chunks.

        Returns
        -------
        VoxelFits
            All voxels.
        """
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def put(self, rows, fits):
        """Write fits of some voxels into their rows.

        Parameters
        ----------
        rows : ndarray of int
            The rows.
        fits : VoxelFits
            What belongs there.
        """
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(fits, field.name)
