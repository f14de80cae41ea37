"""A running page on the tiny domain, for the tests of the endpoint and of the browser."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from clipinverter.domains import Domain
from clipinverter.editor import Editor
from clipinverter.ui.demo import create_demo, launch_options
from tests.tiny import DOMAIN


@dataclasses.dataclass(frozen=True)
class WithExamples(Domain):
    """A domain whose example pictures lie somewhere else."""

    pictures: tuple[Path, ...] = ()

    @property
    def examples(self) -> tuple[Path, ...]:
        return self.pictures


@contextmanager
def serve(get_editor: Callable[[], Editor], pictures: Sequence[Path] = ()) -> Iterator[str]:
    """Serves the page on a free port; yields its address. Uploads go to a folder of their own."""
    fields = {f.name: getattr(DOMAIN, f.name) for f in dataclasses.fields(DOMAIN)}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", folder)
        demo = create_demo(get_editor, WithExamples(**fields, pictures=tuple(pictures)))
        options = launch_options() | {"server_name": "127.0.0.1", "server_port": None}
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **options)
        try:
            yield url
        finally:
            demo.close(verbose=False)
        assert not [*Path(folder).rglob("clipinverter*.png")], "results are left behind"


@contextmanager
def api_client(get_editor: Callable[[], Editor]) -> Iterator[httpx.Client]:
    """Serves the page; yields a client of plain requests to the API."""
    with (
        serve(get_editor) as url,
        httpx.Client(base_url=f"{url}gradio_api", timeout=60) as client,
    ):
        yield client
