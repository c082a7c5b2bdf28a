"""Models that know words alone: there is no backbone, and no torch."""

from ..lexical.predictor import Predictor

__all__ = ["Predictor"]
