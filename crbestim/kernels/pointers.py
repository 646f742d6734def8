"""Compiled functions that kernels call by their address.

A kernel that takes another kernel as an argument is compiled anew in every process, once
for each of them. One that takes an address of a known signature is compiled once, is kept
in the cache, and calls whatever function it is given, at the price of a few nanoseconds.
"""

from functools import lru_cache

import numba
from numba import types
from numba.extending import typeof_impl

_ROW, _ROWS = (types.Array(types.float64, ndim, "C") for ndim in (1, 2))
FORM = types.void(_ROWS, _ROW, _ROW, _ROWS)
"""Signature of a signal of one voxel, ``form(settings, theta, s, ds)``.

settings : (n_settings, n_features), constants, theta : (n_theta,), parameters.
It writes s : (n,), the signal, n = n_features, or of complex signals real and imaginary
parts alternating, n = 2 n_features; and ds : (n_theta, n), its derivatives, unless ds has
no rows.
"""


class Pointer(types.WrapperAddressProtocol):
    """The address of a compiled function.

    Parameters
    ----------
    function : Dispatcher
        A function compiled by numba.
    signature : Signature
        Types of its arguments.
    """

    def __init__(self, function, signature):
        self._signature = signature
        self.numba_type = types.FunctionType(signature)
        # The code lives as long as what was compiled.
        self._compiled = function.get_compile_result(signature)
        name = self._compiled.fndesc.llvm_cfunc_wrapper_name
        self._address = self._compiled.library.get_pointer_to_function(name)

    def __wrapper_address__(self):
        """Return the address."""
        return self._address

    def signature(self):
        """Return the types of the arguments."""
        return self._signature


@typeof_impl.register(Pointer)
def _type_of_pointer(pointer, context):
    # Making the type takes milliseconds, and every call asks for it.
    return pointer.numba_type


@lru_cache(maxsize=64)
def form_of(function):
    """Return a compiled function of the signature FORM, to be passed to kernels.

    Without numba, that is the function itself.
    """
    if numba.config.DISABLE_JIT:
        return function
    return Pointer(function, FORM)
