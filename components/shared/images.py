"""The images that the steps run in; a deployment replaces them by those it has, pinned by digest."""

LIGHT = "graft/light-python:0.1.0"
"""Without torch: ingest, transform, register."""

TRAINER = "graft/trainer-python:0.1.0"
"""With torch: finetune, evaluate."""
