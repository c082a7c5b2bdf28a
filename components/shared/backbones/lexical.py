"""Models that know words alone: there is no backbone, and no torch."""

from ..columns import Predictor

__all__ = ["Predictor"]
