"""What a design changes of an acquisition: settings of a model, and the model with others.

A model lists them in ``controls``. By default they are arguments of its constructor, kept
under the same names; one that keeps them elsewhere defines ``_settings()``, a dict of
arrays, and ``_with_settings(values)``, the model with others.
"""

import inspect

import numpy as np

from .views import GivenModel, ModelView


def settings_of(model):
    """Return the controls of a model and their values: dicts by name.

    Controls whose value is None, or an array of several for each sample, are left out.

    Examples
    --------
    >>> from crbestim.models import MonoExponential
    >>> from crbestim.models._controls import settings_of
    >>> settings_of(MonoExponential([0.01, 0.05]))
    ({'te': (0.001, 0.3, 's')}, {'te': array([0.01, 0.05])})
    """
    whole = bare(model)
    if hasattr(whole, "_settings"):
        found = whole._settings()
    else:
        found = {name: getattr(whole, name) for name in whole.controls}
    values = {k: np.array(v, dtype=float) for k, v in found.items() if v is not None}
    values = {k: v for k, v in values.items() if v.ndim < 2}
    return {k: v for k, v in whole.controls.items() if k in values}, values


def with_settings(model, values):
    """Return the same model of another acquisition: `values` by name of control.

    Examples
    --------
    >>> from crbestim.models import MonoExponential
    >>> from crbestim.models._controls import with_settings
    >>> model = MonoExponential([0.01, 0.05], parameter="T2star").fix(omega0=0.0)
    >>> with_settings(model, {"te": [0.02, 0.06]})
    MonoExponential(te=[0.02, 0.06], parameter='T2star').fix(omega0=0.0)
    """
    if isinstance(model, GivenModel):
        inner = with_settings(model.model, values)
        view = GivenModel(inner, model.constants, model.known_names)
        return view if model.known is None else view._with(model.known)
    if hasattr(model, "_with_settings"):
        return model._with_settings(values)
    return type(model)(**arguments_of(model) | values)


def duration_of(model):
    """Return what a measurement takes: in s, or the number of samples if there is no TR.

    It is the property ``_duration`` of a model that has one, otherwise the sum of the
    repetition times ``tr`` of all samples.

    Examples
    --------
    >>> from crbestim.models import InversionRecovery
    >>> from crbestim.models._controls import duration_of
    >>> duration_of(InversionRecovery([0.1, 1.0], tr=3.0))
    6.0
    >>> duration_of(InversionRecovery([0.1, 1.0]))
    2.0
    """
    whole = bare(model)
    if hasattr(whole, "_duration"):
        return whole._duration
    tr = getattr(whole, "tr", None)
    return float(np.sum(np.broadcast_to(1.0 if tr is None else tr, whole.n_features)))


def has_duration(model):
    """Return whether a measurement has a duration in s."""
    whole = bare(model)
    return hasattr(whole, "_duration") or getattr(whole, "tr", None) is not None


def arguments_of(model):
    """Return the arguments with which a model was made."""
    found = {}
    for name, parameter in inspect.signature(type(model)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kept = model._arguments
        if name not in kept and not hasattr(model, name):
            raise TypeError(
                f"{type(model).__name__} does not keep its argument {name}, so it cannot "
                f"be made again with other settings; store it as self.{name}."
            )
        found[name] = kept[name] if name in kept else getattr(model, name)
    return found


def bare(model):
    """Return the model behind given parameters; refuse other views."""
    while isinstance(model, GivenModel):
        model = model.model
    if isinstance(model, ModelView):
        raise ValueError(
            f"{model} is seen through {_LENSES.get(type(model).__name__, 'a view')} that "
            "belongs to one acquisition and would have to change with it; give the model "
            "itself, and compress the model of the design."
        )
    return model


_LENSES = {"CompressedModel": "a basis", "WhitenedModel": "a whitening"}
