"""The layout of the code: which package may import which, and how large modules may be."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "clipinverter"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Modules that a file imports, inside of functions too; `from a import b` counts as a and as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def dependencies(package: Path) -> dict[str, set[str]]:
    """For every module and subpackage directly in a package, by name: those of the package that it imports."""
    prefix = (*package.relative_to(ROOT).parts,)
    names = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    graph: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        parts = [tuple(name.split(".")) for name in imported(path)]
        inside = {p[len(prefix)] for p in parts if p[:-1][: len(prefix)] == prefix}
        graph.setdefault(own, set()).update((inside & names) - {own})
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that import each other in a circle; empty if there are none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (search(x, [*way, name]) for x in sorted(graph[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (search(name, []) for name in sorted(graph))), [])


def users_of(name: str, of: Iterable[str]) -> set[str]:
    graph = dependencies(PACKAGE)
    return {other for other in of if name in graph[other]}


@pytest.mark.parametrize("package", [PACKAGE, PACKAGE / "training"], ids=lambda path: path.name)
def test_packages_form_no_circle(package):
    assert circle(dependencies(package)) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_nothing_imports_the_page_or_the_measuring():
    names = set(dependencies(PACKAGE)) - {"__main__"}
    assert users_of("evaluation", names) == set()
    assert users_of("ui", names) == set()
    assert users_of("training", names) <= {"evaluation", "styleclip"}  # styleclip: an old command


@pytest.mark.parametrize("package", ["training", "methods", "models", "weights", "photo", "ui"])
def test_serving_and_training_do_not_import_the_renderer(package):
    for path in (PACKAGE / package).rglob("*.py"):
        renderer = {"moderngl", "clipinverter.portraits.render", "clipinverter.portraits.head"}
        assert not imported(path) & renderer, path


@pytest.mark.parametrize(
    "module",
    ["errors", "request", "domains", "cache", "portraits.dataset", "portraits.render"],
)
def test_light_modules_import_no_torch(module):
    """Torch takes seconds to import: neither the page nor each process that renders needs it."""
    code = f"import sys, clipinverter.{module}; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_top_level_has_few_modules():
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= 10


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
