"""A picture that two visitors get is never seen half written."""

import threading
from pathlib import Path

import numpy as np
from gradio import processing_utils
from PIL import Image

from clipinverter.ui.whole_files import write_whole_results
from tests.tiny import picture


def test_readers_see_whole_pictures_while_others_write_the_same(tmp_path):
    write_whole_results()
    write_whole_results()  # twice is once
    image = picture(3, (400, 300))
    path = Path(processing_utils.save_pil_to_cache(image, str(tmp_path), format="png"))
    size, done = path.stat().st_size, threading.Event()

    def write() -> None:
        for _ in range(40):
            assert processing_utils.save_pil_to_cache(image, str(tmp_path), format="png") == str(
                path
            )
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert len(path.read_bytes()) == size
    writer.join()
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(image))
    assert [*tmp_path.rglob("*.png")] == [path]
    assert [*tmp_path.iterdir()] == [path.parent]
