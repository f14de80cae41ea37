"""The authors' model at full size on a CPU: conversion, start, edit, and the memory they take."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
GIB = 1024


def run(step: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "tests.rehearsal", step, str(folder)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(step, result)
    return result


def test_the_authors_model_at_full_size(tmp_path):
    run("publish", tmp_path)
    converted = run("convert", tmp_path)
    served = run("serve", tmp_path)
    assert converted["peak_mib"] < 6 * GIB
    assert served["peak_mib"] < 4 * GIB
    # The first start converts and loads, the second one only loads. Timed, so for the reader alone; until photos can
    # be inverted, and until prompts can be read as well.
    ready = served["load_seconds"]
    for waited in (ready, ready + served["text_seconds"]):
        print("first start / second start", 1 + converted["seconds"] / waited)
    assert served["size"] == [1024, 1024]
    distance = run("compare", tmp_path)["distance"]
    assert distance < 1e-3, "the converted files compute what the authors' code computes"
