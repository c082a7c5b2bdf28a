"""A model into a version in the registry."""
