"""Ranger, the optimiser of CLIPInverter's and StyleCLIP's authors: RAdam (Liu et al. 2020) with Lookahead (Zhang et al.
2019) and gradient centralisation (Yong et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from clipinverter.training.mobilenet import MissingPackageError

BETAS, EPS = (0.95, 0.999), 1e-5
K, ALPHA = 6, 0.5  # every K steps the slow weights move by ALPHA towards the fast ones


def ranger(parameters: Iterable[torch.nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """The optimiser with the settings of the authors' code.

    Raises:
        MissingPackageError: pytorch_optimizer is not installed.
    """
    try:
        from pytorch_optimizer import Ranger
    except ModuleNotFoundError:
        raise MissingPackageError(
            "Training needs the package pytorch_optimizer. Install it by `pip install -r requirements-train.txt`."
        ) from None
    # Without degenerated_to_sgd the first steps, before RAdam's rectification, would go uphill (pytorch_optimizer 4.1).
    return Ranger(
        parameters, lr=rate, betas=BETAS, eps=EPS, k=K, alpha=ALPHA, degenerated_to_sgd=True
    )
