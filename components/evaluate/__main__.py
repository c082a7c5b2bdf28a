"""`python -m components.evaluate`: a model into an evaluation against baselines and the champion, with a page."""

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.shared.process.step import command

paths = {
    "snapshot": "folder of the snapshot",
    "features": "folder of the features",
    "model": "folder of the model",
    "evaluation": "folder to write the evaluation to",
}
command(evaluate, EvaluateSettings, paths, doc=__doc__)
