"""Gradient steps: what a strategy trains, on which batches, how fast, and what is kept of it."""
