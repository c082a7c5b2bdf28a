"""A snapshot into features."""
