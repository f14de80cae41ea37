"""The authors' model at full size, with weights by the golden rule in place of theirs.

Each step runs in a process of its own, `python -m tests.rehearsal STEP FOLDER`, and prints what it took
as JSON: `seconds`, and `peak_mib`, the most memory that the process held, mapped files included.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from clipinverter import domains
from clipinverter.domains import get_domain
from tests.golden import fill

HERE = Path(__file__).parent
KEYS = json.loads((HERE / "golden" / "keys.json").read_text())
SALT = "public"


def weights(checkpoint: str) -> dict[str, torch.Tensor]:
    return {
        key: torch.from_numpy(fill.fill(SALT, checkpoint, key, shape))
        for key, shape, _ in KEYS[checkpoint]
    }


def publish(folder: Path) -> None:
    """Files as the authors publish them."""
    import safetensors.torch

    from clipinverter.models import clip

    opts = {f"no_{level}_mapper": False for level in ("coarse", "medium", "fine")}
    opts |= {"stylegan_size": 1024, "start_from_latent_avg": True}
    torch.save({"state_dict": weights("clipinverter"), "opts": opts}, folder / "faces.pt")
    state = weights("e4e")
    latent_avg = state.pop("latent_avg")
    torch.save({"state_dict": state, "latent_avg": latent_avg, "opts": {}}, folder / "e4e.pt")
    torch.save(weights("arcface"), folder / "arcface.pth")
    torch.manual_seed(0)
    model = clip.openai_vit_b_32().model
    halves = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    safetensors.torch.save_file(halves, folder / "clip.safetensors")


def convert(folder: Path) -> None:
    from clipinverter.weights.download import download

    download(get_domain("faces"), folder)


def serve(folder: Path) -> dict:
    """Loads the converted files and edits a picture."""
    from PIL import Image

    from clipinverter.editor import Editor
    from clipinverter.weights.load import load_models

    start = time.perf_counter()
    models = load_models(get_domain("faces"), "cpu")
    loaded = time.perf_counter() - start

    picture = Image.effect_mandelbrot((700, 700), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    editor = Editor(models)
    inversion = editor.invert(picture, "none")
    start = time.perf_counter()
    models.text_image  # noqa: B018
    text_read = time.perf_counter() - start
    edits = [editor.edit(inversion, "a smiling woman", strength) for strength in (0, 1, 0.5)]
    assert edits[0].image.tobytes() == inversion.image.tobytes() != edits[1].image.tobytes()
    assert [stage.name for stage in edits[2].ran] == ["generator"]

    assert models.identity is not None
    return {
        "load_seconds": round(loaded, 2),
        "text_seconds": round(text_read, 2),
        "size": list(edits[1].image.size),
        "stages_ms": {stage.name: round(stage.ms) for stage in inversion.ran + edits[1].ran},
    }


def compare(folder: Path) -> dict:
    """Compares an edit by the converted files with that of the authors' code."""
    from clipinverter.models.adapter import RESIDUAL_SCALE
    from clipinverter.weights.load import load_models

    models = load_models(get_domain("faces"), "cpu", torch.float32)
    image = torch.from_numpy(fill.image_input(SALT, "face256", (1, 3, 256, 256)))
    text = torch.from_numpy(fill.normal_input(SALT, "text", (1, 512)))
    with torch.no_grad():
        features = models.encoder.trunk_features(image)
        w_plus = models.encoder.heads(*features) + models.latent_avg
        residual = models.encoder.heads(*models.adapter(features, text))
        vectors = models.generator.remap_vectors(text)
        result = models.generator(w_plus + RESIDUAL_SCALE * residual, vectors)
    golden = np.load(HERE / "golden" / "05_manipulate.npz")["image_pool64"]
    pooled = torch.nn.functional.avg_pool2d(result, 16)[0].numpy()
    return {"distance": float(np.abs(pooled - golden).max() / np.sqrt((golden**2).mean()))}


STEPS = {"publish": publish, "convert": convert, "serve": serve, "compare": compare}


def main(step: str, folder: str) -> None:
    # Training's requirements bring it, the demo's do not; where it is there, open_clip imports it at every start.
    sys.modules["transformers"] = None
    domains.ROOT = Path(folder)
    published = Path(folder) / "published"
    published.mkdir(exist_ok=True)
    start = time.perf_counter()
    result = STEPS[step](published) or {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps(result | {"seconds": seconds, "peak_mib": round(peak)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
