"""`python -m clipinverter.training.styleclip relevance|train-mapper`: prepares StyleCLIP's global directions and latent
mappers for a domain.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m clipinverter.training.styleclip", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    relevance = commands.add_parser("relevance", help="measure what every style channel does")
    relevance.add_argument("--people", type=int, help="for each channel; default: the settings'")
    mapper = commands.add_parser("train-mapper", help="train the mappers of prompts, all together")
    mapper.add_argument("prompts", nargs="*", help="default: those of methods/settings.py")
    mapper.add_argument("--steps", type=int, help="default: the model's settings")
    for command in (relevance, mapper):
        command.add_argument("--domain", default="portraits", help="which model")
        command.add_argument("--run", type=Path, help="states (default: runs/<domain>/styleclip)")
    options = parser.parse_args(arguments)

    from clipinverter.domains import get_domain
    from clipinverter.errors import UserError
    from clipinverter.methods.latent_mapper import folder_of
    from clipinverter.methods.settings import settings_of
    from clipinverter.request import check_prompt
    from clipinverter.weights.load import load_models

    try:
        domain = get_domain(options.domain)
        models = load_models(domain)
        target = folder_of(domain)
        run = options.run or Path("runs") / domain.name / "styleclip"
        if options.command == "relevance":
            from clipinverter.training.styleclip.relevance import measure

            settings = settings_of(domain)
            if options.people:
                settings = replace(settings, relevance_people=options.people)
            measure(models, target, run, settings)
            return 0
        from clipinverter.training.styleclip.latent_mapper import train_mappers

        prompts = options.prompts or settings_of(domain).mapper_prompts
        prompts = [check_prompt(prompt) for prompt in prompts]
        for path in train_mappers(models, prompts, target, run, options.steps):
            print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
