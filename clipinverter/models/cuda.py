"""Optional CUDA kernels behind `ops.blur`, `ops.upsample` and `ops.bias_act`.

They are compiled on first use with a CUDA tensor. That takes about a minute and needs NVIDIA's
compiler and ninja. If one is missing, PyTorch's own operations compute the same.
"""

import logging
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

log = logging.getLogger(__name__)


@cache
def _compiled() -> ModuleType | None:
    """The kernels; None if they can't be compiled. This is tried, and a failure logged, once."""
    try:
        from torch.utils.cpp_extension import load

        return load("clipinverter_kernels", [str(Path(__file__).with_name("kernels.cu"))])
    except Exception as error:  # no compiler, no ninja, another version of CUDA, …
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        log.info("CUDA kernels are not used: %s", reason)
        return None


def kernels(*tensors: Tensor) -> ModuleType | None:
    """The compiled kernels, or None if a tensor is on the CPU or needs gradients, or there are no kernels."""
    if not all(tensor.is_cuda for tensor in tensors):
        return None
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return None
    return _compiled()
