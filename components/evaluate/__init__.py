"""A model into an evaluation against baselines."""
