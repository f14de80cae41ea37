"""Global directions at their edges."""

import pytest
import torch

from clipinverter.methods.global_direction import auto_beta, boundary, text_direction
from clipinverter.methods.relevance import channel_relevance, convolutions
from clipinverter.models.stylegan2 import Generator

SPREAD = [torch.full((2,), 2.0) for _ in range(5)]
LAYERS = (0, 2, 3)


def test_only_convolutions_move():
    generator = Generator(32, 8, 1, 128, 8)
    layers = convolutions(generator)
    widths = [style.shape[1] for style in generator.styles(torch.randn(1, 8, 8))]
    convs = [generator.conv1, *generator.convs]
    assert [widths[i] for i in layers] == [c.conv.modulation.weight.shape[0] for c in convs]
    assert len(layers) + len(generator.to_rgbs) + 1 == len(widths)


def test_the_strongest_channel_moves_by_one_standard_deviation():
    agreement = torch.tensor([0.1, -0.4, 0.2, 0.0, 0.05, 0.3])
    moves, count = boundary(agreement, 0.15, SPREAD, LAYERS)
    assert count == 3
    assert torch.cat(moves).tolist() == pytest.approx([0, -2, 0, 0, 1, 0, 0, 1.5, 0, 0])


def test_where_nothing_survives_nothing_moves():
    for agreement in (torch.zeros(6), torch.full((6,), 0.1)):
        moves, count = boundary(agreement, 0.15, SPREAD, LAYERS)
        assert count == 0
        assert torch.equal(torch.cat(moves), torch.zeros(10))
    same = torch.randn(3, 8)
    assert torch.equal(text_direction(same, same), torch.zeros(8))
    still = channel_relevance(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
    assert torch.equal(still, torch.zeros(2, 4))


def test_relevance_may_end_after_any_layer_but_not_within_one():
    moves, _ = boundary(torch.full((4,), 0.3), 0.1, SPREAD, LAYERS)
    assert [bool(m.any()) for m in moves] == [True, False, True, False, False]
    for count in (3, 8):
        with pytest.raises(ValueError, match="do not fit"):
            boundary(torch.full((count,), 0.3), 0.1, SPREAD, LAYERS)


def test_the_threshold_is_the_largest_that_leaves_enough():
    agreement = torch.tensor([0.95, -0.85, 0.45, 0.15])
    betas = [0.1, 0.2, 0.5, 0.9]
    assert auto_beta(agreement, 1, betas) == 0.5
    assert auto_beta(agreement, 2, betas) == 0.2
    assert auto_beta(agreement, 4, betas) == 0.1  # none leaves more than four
