"""`python -m clipinverter.evaluation portraits|sheet`: measure the embedded models, or draw their contact sheet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipinverter.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("portraits", help="numbers on held-out scenes")
    p.add_argument("--count", type=int, default=256, help="held-out scenes")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", type=Path)
    p = commands.add_parser("sheet", help="pictures, inversions and edits")
    p.add_argument("out", type=Path)
    p.add_argument("--cell", type=int, default=128, help="side of each picture, pixels")
    args = parser.parse_args()

    from clipinverter.domains import PORTRAITS
    from clipinverter.loading import load_models

    models = load_models(PORTRAITS, "cpu")
    if args.command == "sheet":
        from clipinverter.editor import Editor
        from clipinverter.evaluation.sheets import edits

        edits(Editor(models), PORTRAITS.examples, cell=args.cell).save(args.out)
        return
    report = portraits(models, args.count, args.seed)
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))


def portraits(models, count: int, seed: int) -> dict:
    """Every number of the table in checkpoints/README.md."""
    import numpy as np

    from clipinverter.evaluation import metrics
    from clipinverter.training.weights import identity as load_identity

    folder = models.domain.folder
    identity = load_identity(folder) if (folder / "identity.safetensors").exists() else None
    held = metrics.held_out(count, models.domain.image_size, seed)
    accuracy, by_variable = metrics.clip_accuracy(models, held)
    edits = metrics.edits(models, identity, held)
    mean = {
        key: float(np.mean([e[key] for e in edits.values()])) for key in next(iter(edits.values()))
    }
    return {
        "generator_psnr": metrics.generator_psnr(models, held),
        "clip_accuracy": accuracy,
        **metrics.inversion(models, identity, held),
        **{f"edit_{key}": value for key, value in mean.items()},
        "clip_accuracy_by_variable": by_variable,
        "edits": edits,
    }


if __name__ == "__main__":
    main()
