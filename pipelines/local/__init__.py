"""Runs on this machine: processes or containers, and what they leave below a root."""
