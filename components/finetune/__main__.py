"""`python -m components.finetune`: features and a backbone into a model."""

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.process.step import command

paths = {
    "features": "folder of the features",
    "model": "folder to write the model to",
    "snapshot": "folder of the snapshot that the features were made from, for what its words tell",
}
command(finetune, FinetuneSettings, paths, doc=__doc__, optional=["snapshot"])
