"""Gains of tuned photos: by what a part of a residual is about."""

import dataclasses

import pytest
import torch

from clipinverter.domains import get_domain
from clipinverter.methods.gains import GAIN, GAINS, amplified
from clipinverter.portraits.w_space import axes, described_by

PORTRAITS = get_domain("portraits")


@pytest.mark.parametrize("variable", [*GAINS, "glasses"])
def test_what_is_about_a_variable_goes_as_far_as_its_gain(variable):
    residual = axes(PORTRAITS.style_dim)[:, described_by([variable])].sum(dim=1).expand(1, 14, -1)
    expected = GAINS.get(variable, GAIN) * residual
    torch.testing.assert_close(amplified(residual, PORTRAITS), expected, atol=1e-4, rtol=1e-4)


def test_what_no_number_describes_and_other_domains_have_one_gain():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(1, 14, PORTRAITS.style_dim, generator=generator)
    to_w = axes(PORTRAITS.style_dim)
    rest = residual - residual @ to_w @ to_w.T
    torch.testing.assert_close(amplified(rest, PORTRAITS), GAIN * rest, atol=1e-4, rtol=1e-4)
    other = dataclasses.replace(PORTRAITS, name="dogs")
    assert torch.equal(amplified(residual, other), GAIN * residual)
