"""The images that the steps run in; a deployment replaces them by those it has, pinned by digest.

"python" is in their names because kfp.local warns of any other.
"""

LIGHT = "graft/light-python:0.1.0"
"""Without torch: detect, ingest, transform, register, promote, notify."""

TRAINER = "graft/trainer-python:0.1.0"
"""With torch: finetune, evaluate."""
