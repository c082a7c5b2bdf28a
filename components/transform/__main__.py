"""`python -m components.transform`: a snapshot into features for a backbone."""

from components.shared.process.step import command
from components.transform.transform import TransformSettings, transform

paths = {"snapshot": "folder of the snapshot", "features": "folder to write the features to"}
command(transform, TransformSettings, paths, doc=__doc__)
