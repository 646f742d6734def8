"""Models that see the signals of another one through a linear map."""

from copy import copy

from .base import SignalModel
from .derivatives import DifferentiableView


class ModelView(DifferentiableView, SignalModel):
    """A model with the parameters of another one, its attribute ``model``."""

    @property
    def parameter_names(self):
        """Names of the columns of theta."""
        return self.model.parameter_names

    @property
    def bounds(self):
        """Bounds of the parameters, of shape (n_parameters, 2)."""
        return self.model.bounds

    @property
    def parameters(self):
        """The parameters of the model."""
        return self.model.parameters

    @property
    def known_parameters(self):
        """Parameters whose values come with each sample."""
        return self.model.known_parameters

    @property
    def known(self):
        """Their values, (n_samples, n_known), of a model at them."""
        return self.model.known

    def fix(self, **values):
        """Hold some parameters at constants; see `SignalModel.fix`."""
        return self._of(self.model.fix(**values))

    def given(self, *names):
        """Take the values of some parameters as known; see `SignalModel.given`."""
        return self._of(self.model.given(*names))

    def at(self, known):
        """Return the model at known values; see `SignalModel.at`."""
        return self._of(self.model.at(known))

    def rows(self, selection):
        """Return the model of some samples; see `SignalModel.rows`."""
        return self._of(self.model.rows(selection)) if self.known_parameters else self

    @property
    def whole(self):
        """The model of all parameters that are no constants."""
        return self._of(self.model.whole) if self.known_parameters else self

    def _of(self, model):
        twin = copy(self)
        twin.model = model
        return twin
