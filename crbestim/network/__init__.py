"""Networks, losses and the training loop: torch only, tensors in and out.

Nothing here is imported before a network is fitted or used, because torch is slow to
import; nothing here knows of signal models or of scikit-learn.
"""
