"""`python -m clipinverter.evaluation portraits|compare|sheet|bench`: measure the embedded models, draw
their contact sheet, or measure how long an edit takes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipinverter.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("portraits", help="numbers on held-out scenes")
    p.add_argument("--count", type=int, default=512, help="held-out scenes")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", type=Path)
    p = commands.add_parser("sheet", help="pictures, inversions and edits")
    p.add_argument("out", type=Path)
    p.add_argument("--cell", type=int, default=128, help="side of each picture, pixels")
    p = commands.add_parser("compare", help="CLIPInverter and StyleCLIP on held-out scenes")
    p.add_argument("--portraits", type=int, default=100, help="held-out scenes")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", type=Path)
    p = commands.add_parser("bench", help="milliseconds an edit, against the plain way")
    p.add_argument("--domain", default="faces", help="without its files: random weights")
    p.add_argument("--json", type=Path)
    args = parser.parse_args()

    if args.command == "bench":
        bench(args.domain, args.json)
        return

    from clipinverter.domains import PORTRAITS
    from clipinverter.loading import load_models

    models = load_models(PORTRAITS, "cpu")
    if args.command == "sheet":
        from clipinverter.editor import Editor
        from clipinverter.evaluation.sheets import edits

        edits(Editor(models), PORTRAITS.examples, cell=args.cell).save(args.out)
        return
    if args.command == "compare":
        from clipinverter.editor import Editor
        from clipinverter.evaluation import judge, metrics
        from clipinverter.evaluation.compare import compare, table

        judging = judge.load()
        held = metrics.held_out(args.portraits, PORTRAITS.image_size, args.seed)
        report = {"seed": args.seed} | compare(Editor(models), judging, held)
        print(table(report))
        if args.json:
            args.json.write_text(json.dumps(report, indent=2))
        return
    report = portraits(models, args.count, args.seed)
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))


def bench(name: str, path: Path | None) -> None:
    """Prints the table of the benchmark; writes the figures to `path`."""
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.evaluation import benchmark

    try:
        report = benchmark.bench(get_domain(name))
    except DomainError as error:
        raise SystemExit(str(error)) from None
    print(benchmark.table(report))
    if path:
        path.write_text(json.dumps(report, indent=2))


def portraits(models, count: int, seed: int) -> dict:
    """Every number of the table in checkpoints/README.md."""
    import numpy as np

    from clipinverter.evaluation import edits, metrics
    from clipinverter.evaluation.judge import load

    judge = load()
    held = metrics.held_out(count, models.domain.image_size, seed)
    seen = judge.see(metrics.images_of(held))
    accuracy, by_variable = metrics.clip_accuracy(models, held)
    per_prompt = max(1, count // 16)
    single = edits.single(models, judge, held, per_prompt)
    several = edits.several(models, judge, held, per_prompt)

    def mean(rows: dict[str, dict[str, float]], key: str) -> float:
        return float(np.mean([row[key] for row in rows.values()]))

    return {
        **metrics.judging(judge, held, seen),
        **metrics.generation(models, judge, held, seen),
        "clip_accuracy": accuracy,
        "clip_unseen_synonyms": metrics.unseen_synonyms(models, held),
        **metrics.inversion(models, judge, held, seen),
        "edit_target": mean(single, "target"),
        "edit_others_kept": mean(single, "others_kept"),
        "edit_identity": mean(single, "identity"),
        "multi_target": mean(several, "target"),
        "counterfactual_ratio": mean(single, "counterfactual_ratio"),
        "strength_monotone": mean(single | several, "monotone"),
        "clip_gain_share": mean(single | several, "clip_gain_share"),
        "clip_accuracy_by_variable": by_variable,
        "single": single,
        "several": several,
    }


if __name__ == "__main__":
    main()
