"""`python -m components.register`: a model and its evaluation into a version in the MLflow registry."""

from components.register.register import RegisterSettings, register
from components.shared.process.step import command

paths = {
    "model": "folder of the model",
    "evaluation": "folder of its evaluation",
    "version": "folder to write the version to",
}
command(register, RegisterSettings, paths, doc=__doc__)
