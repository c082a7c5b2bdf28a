"""`python -m components.detect`: has the data changed since the champion was trained?"""

from components.detect.detect import DetectSettings, detect
from components.shared.process.step import command

command(detect, DetectSettings, {"changes": "folder to write the changes to"}, doc=__doc__)
