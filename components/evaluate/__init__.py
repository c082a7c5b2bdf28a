"""A model into an evaluation against baselines and the champion."""
