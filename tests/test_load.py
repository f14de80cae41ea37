"""The load command on a running page: nothing fails, nothing is mixed up, and mistakes are noticed."""

import pytest

from clipinverter.editor import Editor
from clipinverter.evaluation import load
from clipinverter.evaluation.load import LoadError, measure, table
from tests.serving import serve
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("load")
    paths = [folder / f"{seed}.png" for seed in (1, 2)]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    return paths


@pytest.fixture(scope="module")
def url():
    class Aligned(Editor):
        """Takes every picture as a face, so that nobody looks for one."""

        def invert(self, photo, align="auto", on_step=None, face=0):
            return super().invert(photo, "none", on_step, face)

    editor = Aligned(tiny_models())
    with serve(lambda: editor) as address:
        yield address


def test_many_visitors_each_get_their_own_answers(url, pictures):
    report = measure(url, pictures, clients=4, minutes=0.05, weights=(2, 4, 1, 1))
    rows = report["requests"]
    assert sum(row["failed"] + row["mixed_up"] for row in rows.values()) == 0, report["reasons"]
    assert rows["edit"]["completed"] >= 4
    assert rows["tuning"]["completed"] > 0
    assert rows["compare"]["completed"] > 0
    assert 0 < rows["edit"]["p50"] <= rows["edit"]["p95"]
    assert rows["edit"]["waiting"] > 0
    memory = report["memory_mb"]
    assert memory["start"] is None or memory["most"] < memory["start"] + 300
    assert "| edit | " in table(report)


def test_an_answer_that_is_not_the_visitors_own_is_noticed(url, pictures, monkeypatch):
    monkeypatch.setattr(load, "_alone", lambda *_, **__: DictOf("another"))
    report = measure(url, pictures, clients=1, minutes=0.01, weights=(1, 0, 0, 0))
    assert report["requests"]["edit"]["mixed_up"] >= 1
    assert report["requests"]["edit"]["completed"] == 0


class DictOf(dict):
    """The same for every key."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def __missing__(self, key):
        return self.value


@pytest.mark.parametrize(
    ("address", "clients", "minutes", "sentence"),
    [
        ("http://example.org/", 1, 1, "Only a server on this machine"),
        ("http://127.0.0.1.example.org/", 1, 1, "Only a server on this machine"),
        ("http://127.0.0.1:9/", 1, 1, "No page answers"),
        ("http://127.0.0.1:9/", 0, 1, "1 to 200 clients"),
        ("http://127.0.0.1:9/", 1, 1e9, "up to 60 minutes"),
        ("not an address", 1, 1, "Only a server on this machine"),
    ],
)
def test_only_servers_of_this_machine_within_bounds(pictures, address, clients, minutes, sentence):
    with pytest.raises(LoadError, match=sentence):
        measure(address, pictures, clients, minutes)
