"""The network: modules, losses and training in torch.

:mod:`crbestim.network.arrays` is the door: NumPy arrays in and out. It, the losses and
:mod:`crbestim.network.inference` do without torch, which is slow to import; all other files
need it. Nothing here uses signal models or scikit-learn.
"""

from .losses import BiasReducedLoss, CRBLoss, Loss, MSELoss

__all__ = ["BiasReducedLoss", "CRBLoss", "Loss", "MSELoss"]
