"""`python -m clipinverter.evaluation portraits|words|photos|compare|folders|ablation|sheet|bench|load|fairness`: what
the models can do, in numbers and in pictures, and for whom, how long an edit takes, and what a server does under load.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from clipinverter.errors import UserError

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.weights.load import Models


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipinverter.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("portraits", help="numbers on held-out scenes")
    p.add_argument("--count", type=int, default=512, help="held-out scenes")
    p.add_argument("--seed", type=int, default=0)
    p.set_defaults(run=portraits)
    p = commands.add_parser("words", help="absences, first person, typing errors, languages")
    p.add_argument("--count", type=int, default=12, help="people a prompt")
    p.add_argument("--people", type=int, default=256, help="held-out people to choose from")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--run", dest="folder", type=Path, help="a training run's text-image model")
    p.set_defaults(run=words)
    p = commands.add_parser("photos", help="numbers on rated photos")
    p.add_argument("folder", type=Path, help="aligned pictures, perhaps with a ratings.csv")
    p.add_argument("--sheet", type=Path, help="where to draw photos and inversions")
    p.add_argument(
        "--limit", type=int, help="tune and edit so many, at random; 0: none (default: all)"
    )
    p.add_argument("--judge", type=Path, help="a program that judges pictures, see photo_edits.py")
    p.set_defaults(run=photos)
    p = commands.add_parser("compare", help="CLIPInverter and StyleCLIP on the same pictures")
    p.add_argument("--portraits", type=int, default=100, help="held-out scenes")
    p.add_argument("--photos", type=Path, metavar="DIR", help="aligned photos, in place of scenes")
    p.add_argument("--limit", type=int, help="take so many of the photos, at random")
    p.add_argument("--judge", type=Path, help="a program that judges pictures, see photo_edits.py")
    p.add_argument("--published", action="store_true", help="with FID and LPIPS, for photos")
    p.add_argument("--domain", default="portraits", help="which model edits the photos")
    p.add_argument("--seed", type=int, default=0)
    p.set_defaults(run=compare)
    p = commands.add_parser("folders", help="FID and LPIPS of two folders of aligned pictures")
    p.add_argument("real", type=Path)
    p.add_argument("drawn", type=Path, help="LPIPS is measured of pictures with equal names")
    p.set_defaults(run=folders)
    p = commands.add_parser("bench", help="milliseconds an edit, against the plain way")
    p.add_argument("--domain", default="faces", help="without its files: random weights")
    p.set_defaults(run=bench)
    p = commands.add_parser("load", help="a running server with many visitors at once")
    p.add_argument("--url", default="http://127.0.0.1:7860/", help="of a server on this machine")
    p.add_argument("--clients", type=int, default=30, help="visitors")
    p.add_argument("--minutes", type=float, default=3.0)
    p.add_argument("--seed", type=int, default=0, help="of what they ask for")
    p.set_defaults(run=load)
    p = commands.add_parser("fairness", help="faces by skin, age and gender")
    p.add_argument("folder", type=Path, help="aligned faces, perhaps with a manifest.csv")
    p.add_argument("--limit", type=int, help="so many faces, at random (default: all)")
    p.add_argument("--judge", type=Path, help="a program that judges pictures, see photo_edits.py")
    p.add_argument("--render", type=int, help="first draw so many portraits into the folder")
    p.set_defaults(run=fairness)
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, help="where to write the numbers")
    p = commands.add_parser("ablation", help="what each part of the method contributes")
    p.add_argument("--images", type=Path, default=Path("data/portraits-256"), help="rendered set")
    p.add_argument("--run", dest="folder", type=Path, default=Path("runs/portraits"))
    p.add_argument("--scale", type=float, default=1.0, help="multiplies the number of scenes")
    p.add_argument("--resume", action="store_true", help="keep what is measured already")
    p.set_defaults(run=ablation, json=None)
    p = commands.add_parser("sheet", help="edits of portraits, both chosen at random by seed")
    p.add_argument("out", type=Path)
    p.add_argument("--photos", type=Path, help="aligned photos to tune to, in place of portraits")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--cell", type=int, default=128, help="side of each picture, pixels")
    p.set_defaults(run=sheet, json=None)
    p = commands.add_parser("screenshots", help="pictures of the page for README and docs")
    p.add_argument("out", type=Path, nargs="?", default=Path("assets"))
    p.set_defaults(run=screenshots, json=None)
    args = parser.parse_args()
    try:
        report = args.run(args)
    except (UserError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))


def _models() -> Models:
    from clipinverter.domains import PORTRAITS
    from clipinverter.weights.load import load_models

    return load_models(PORTRAITS, "cpu")


def _editor() -> Editor:
    from clipinverter.editor import Editor

    return Editor(_models())


def sheet(args: argparse.Namespace) -> None:
    from clipinverter.evaluation.edit_sheet import random_edits, tuned_photos

    editor = _editor()
    if args.photos:
        tuned_photos(editor, args.photos, args.seed, args.cell).save(args.out, quality=85)
    else:
        random_edits(editor, args.seed, args.cell).save(args.out)


def screenshots(args: argparse.Namespace) -> None:
    from clipinverter.evaluation.screenshots import take

    for path in take(args.out):
        print(path)


def ablation(args: argparse.Namespace) -> None:
    import torch

    from clipinverter.domains import PORTRAITS
    from clipinverter.evaluation.ablation import ablate

    torch.manual_seed(0)
    ablate(PORTRAITS, args.images, args.folder, resume=args.resume, scale=args.scale)


def words(args: argparse.Namespace) -> dict:
    from dataclasses import replace

    from clipinverter.evaluation import metrics
    from clipinverter.evaluation.words import measure, people, table
    from clipinverter.portraits.judge import load
    from clipinverter.weights.folder import RunWeights

    models, judge = _models(), load()
    if args.folder:
        model = RunWeights(models.domain, args.folder).text_image()
        models = replace(models, read_text_image=lambda: model)
    models.text_image  # noqa: B018  before the renderer: both bring an LLVM, and this order works
    held = metrics.held_out(args.people, models.domain.image_size, args.seed)
    report = measure(people(models, judge, held), args.count)
    print(table(report))
    return report


def photos(args: argparse.Namespace) -> dict:
    from clipinverter.evaluation import photo_edits
    from clipinverter.evaluation.photos import measure, sheet
    from clipinverter.portraits import judge

    editor, report = _editor(), {}
    if (args.folder / "ratings.csv").exists() or args.sheet:
        report, pairs = measure(editor, judge.load(), args.folder)
        if args.sheet:
            sheet(pairs).save(args.sheet)
    if args.limit != 0:
        report |= photo_edits.compare(
            editor, photo_edits.choose(args.folder, args.limit), args.judge
        )
    print(json.dumps(report, indent=2))
    return report


def compare(args: argparse.Namespace) -> dict:
    from clipinverter.evaluation import metrics
    from clipinverter.evaluation.compare import compare, table
    from clipinverter.portraits import judge

    if args.photos:
        return compare_photos(args)
    editor = _editor()
    held = metrics.held_out(args.portraits, editor.models.domain.image_size, args.seed)
    report = {"seed": args.seed} | compare(editor, judge.load(), held)
    print(table(report))
    return report


def compare_photos(args: argparse.Namespace) -> dict:
    from clipinverter.domains import get_domain
    from clipinverter.editor import Editor
    from clipinverter.evaluation import photo_edits
    from clipinverter.evaluation.compare_photos import compare, table
    from clipinverter.portraits import judge
    from clipinverter.weights.load import load_models

    photos = photo_edits.choose(args.photos, args.limit, args.seed)
    editor = Editor(load_models(get_domain(args.domain)))
    report = compare(editor, judge.load(), photos, args.judge, published=args.published)
    print(table(report))
    return report


def folders(args: argparse.Namespace) -> dict:
    from clipinverter.evaluation import published

    report = published.folders(args.real, args.drawn)
    print(json.dumps(report, indent=2))
    return report


def load(args: argparse.Namespace) -> dict:
    from clipinverter.domains import PORTRAITS
    from clipinverter.evaluation.load import measure, table

    report = measure(args.url, PORTRAITS.examples[:3], args.clients, args.minutes, args.seed)
    print(table(report))
    return report


def fairness(args: argparse.Namespace) -> dict:
    """Goes on from what is in the file of --json, so that it can be done in pieces."""
    from clipinverter.evaluation import fairness

    editor = _editor()
    if args.render:
        fairness.render(args.folder, args.render, editor.models.domain.image_size)
    known = fairness.read_results(args.json) if args.json else None
    report = fairness.measure(editor, args.folder, args.limit, args.judge, known)
    print(fairness.table(report["groups"]))
    return report


def bench(args: argparse.Namespace) -> dict:
    from clipinverter.domains import get_domain
    from clipinverter.evaluation import benchmark

    report = benchmark.bench(get_domain(args.domain))
    print(benchmark.table(report))
    return report


def portraits(args: argparse.Namespace) -> dict:
    """Every number of the table in checkpoints/README.md."""
    from clipinverter.evaluation import editing, metrics
    from clipinverter.evaluation.editing import mean
    from clipinverter.portraits.judge import load

    models, judge = _models(), load()
    held = metrics.held_out(args.count, models.domain.image_size, args.seed)
    seen = judge.see(metrics.images_of(held))
    accuracy, by_variable = metrics.clip_accuracy(models, held)
    per_prompt = max(1, args.count // 16)
    single = editing.single(models, judge, held, per_prompt)
    several = editing.several(models, judge, held, per_prompt)

    report = {
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
    print(json.dumps(report, indent=2))
    return report


if __name__ == "__main__":
    main()
