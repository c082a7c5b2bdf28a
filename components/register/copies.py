"""The files that a registered model goes on with: found by what they import, so that no list can be wrong."""

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.shared import backbones, tasks
from components.shared.tasks.task import Composite

ROOT = Path(str(backbones.__file__)).parents[1]
"""`components/shared`: what a model takes along is named from here on."""
_OURS = "components.shared"


def copy_predictor(family: str, task: str, folder: Path, args: Mapping[str, Any] | None = None) -> Path:
    """Copies the files that a model predicts with, as they are now: the version goes on with them.

    Args:
        family: Of its backbone.
        task: Whose head it has; that of somebody else's package is put where ours are.
        folder: Where they go.
        args: The task's options: a task that is made of others needs their files, too.
    """
    learned = tasks.get(task, args)
    package = learned.package
    packages = [package, *(part.task.package for part in (learned.members if isinstance(learned, Composite) else ()))]
    heads = [name for one in packages for name in _head_of(one, family)]
    for name in files_of([*backbones.FAMILIES[family].files, *heads]):
        _write(folder / name, (ROOT / name).read_text("utf-8"))
    if not package.startswith(f"{_OURS}."):
        _copy_foreign(package, folder)
    return folder


def files_of(names: Iterable[str]) -> list[str]:
    """Returns some files of `components/shared` and all that they import relatively, sorted.

    What is imported for type checkers alone is left out.
    """
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return sorted(found)


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    return tuple(_imported(name))


def _imported(name: str) -> Iterator[str]:
    for node in _nodes(ast.parse((ROOT / name).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = Path(name).parents[node.level - 1] / (node.module or "").replace(".", "/")
            for file in (base.with_suffix(".py"), *(base / f"{alias.name}.py" for alias in node.names)):
                if (ROOT / file).is_file():
                    yield file.as_posix()


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _nodes(node)


def _head_of(package: str, family: str) -> list[str]:
    if not package.startswith(f"{_OURS}."):
        return []
    names = ["answers"] if family in backbones.WITHOUT_BACKBONE else ["head", "answers"]
    room = package.removeprefix(f"{_OURS}.").replace(".", "/")
    return [file for name in names if (ROOT / (file := f"{room}/{name}.py")).exists()]


def _copy_foreign(package: str, folder: Path) -> None:
    """Copies the head of a plug-in to `tasks/`, its imports of our files made relative; they come along, too."""
    spec = importlib.util.find_spec(f"{package}.head")
    assert spec is not None, "finetune imported it"
    assert spec.origin is not None, "it is a file"
    source = Path(spec.origin).read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_OURS}."):
            name = str(node.module).removeprefix(f"{_OURS}.").replace(".", "/") + ".py"
            for file in files_of([name]):
                _write(folder / file, (ROOT / file).read_text("utf-8"))
    kind = package.rpartition(".")[2]
    _write(folder / f"tasks/{kind}/head.py", source.replace(f"from {_OURS}.", "from ..."))


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8")
