"""The import graph: arrows lead from pipelines to steps to what is shared, and nowhere in a circle."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent


def modules() -> dict[str, Path]:
    """Returns the files of all modules, by name."""
    files = (file for room in ("components", "pipelines") for file in (ROOT / room).rglob("*.py"))
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


MODULES = modules()


def imports(name: str) -> set[str]:
    """Returns the modules that a module imports: at its top, or later in a function; not for its types alone."""
    file = MODULES[name]
    tree = ast.parse(file.read_text("utf-8"))
    for_types = {id(part) for test in ast.walk(tree) if _is_for_types(test) for part in ast.walk(test)}
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if id(node) not in for_types:
            found.update(_imported(node, package))
    return found - {name}


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            if found := next((one for one in (whole, base) if one in MODULES), None):
                yield found


GRAPH = {name: imports(name) for name in MODULES}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Returns groups of modules that lead to one another (Tarjan's strongly connected components), sorted."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        path.append(name)
        for other in sorted(graph[name]):
            if other not in numbers:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            group = path[path.index(name) :]
            del path[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in numbers:
            visit(name)
    return found


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_nothing_imports_in_a_circle_not_even_in_a_function() -> None:
    assert circles(GRAPH) == []


def test_no_arrow_leads_back() -> None:
    wrong = [f"{name} imports {other}" for name in MODULES for other in GRAPH[name] if not _may_import(name, other)]
    assert wrong == [], "steps know what is shared alone; only pipelines know steps"


def _may_import(name: str, other: str) -> bool:
    own, theirs = name.split(".")[:2], other.split(".")[:2]
    return own[0] == "pipelines" or theirs in (own, ["components", "shared"], ["components"])
