"""Labelled data into a snapshot."""
