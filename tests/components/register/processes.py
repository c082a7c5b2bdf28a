"""A process in which some packages cannot be imported: `python -c BLOCKED "torch,kfp" …`."""

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
names = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Blocker())
"""
