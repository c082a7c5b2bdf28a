"""The kinds of input: a text, a picture. One file a kind; it knows backbones, and no task.

No file here imports torch at its top: light steps read them too.
"""

from components.shared.modalities.image import IMAGE
from components.shared.modalities.modality import Encoder, Encoding, InputEncoder, Limits, Modality, Telling
from components.shared.modalities.text import TEXT

__all__ = ["IMAGE", "TEXT", "Encoder", "Encoding", "InputEncoder", "Limits", "Modality", "Telling"]
