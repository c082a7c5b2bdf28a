"""`python -m components.promote`: a version that evaluation found better into the champion."""

from components.promote.promote import PromoteSettings, promote
from components.shared.process.step import command

paths = {
    "version": "folder of the version",
    "evaluation": "folder of its evaluation",
    "promotion": "folder to write what became of it to",
}
command(promote, PromoteSettings, paths, doc=__doc__)
