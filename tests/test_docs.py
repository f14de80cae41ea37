"""README and docs: short enough, links lead somewhere, and every command exists with its options."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "checkpoints" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands() -> list[list[str]]:
    """Every `python -m clipinverter…` of an indented block, as words without the interpreter."""
    found = set()
    for page in PAGES:
        code = text_of(page).replace("\\\n", " ")
        for line in re.findall(r"^    (.*-m clipinverter.*)$", code, re.MULTILINE):
            found.add(line[line.index("-m clipinverter") + 3 :])
    return sorted(shlex.split(line, comments=True) for line in found)


def test_readme_is_one_page():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 140


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_exist(page):
    makefile = text_of(ROOT / "Makefile")
    for target in re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text_of(page), re.MULTILINE):
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_exist(command):
    module, first = command[:2]
    one_parser = module == "clipinverter.training"  # the stage is an argument
    described = help_of(module) if one_parser else help_of(module, first)
    assert first in help_of(module)
    for word in command[1:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", described), word
