"""Models that know the gradients of pictures alone: there is no backbone, and no torch."""

from ..columns import Predictor

__all__ = ["Predictor"]
