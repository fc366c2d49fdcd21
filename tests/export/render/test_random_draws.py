import pytest
import torch

from protome_export.render.drawing.random_draws import Dice

CPU = torch.device("cpu")


def test_what_a_seed_draws_does_not_depend_on_its_batch() -> None:
    alone, among = Dice([7], 1, CPU), Dice([3, 7, 9], 1, CPU)
    assert torch.equal(alone.normal(0, 1, 5)[0], among.normal(0, 1, 5)[1])
    assert torch.equal(alone.pick(9)[0], among.pick(9)[1])


def test_streams_and_seeds_differ_and_join() -> None:
    one, two = Dice([7], 1, CPU), Dice([7], 2, CPU)
    both = Dice.joined([one, two])
    drawn = both.uniform(0, 1, 50)
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], one.uniform(0, 1, 50)[0])
    assert torch.equal(drawn[1], two.uniform(0, 1, 50)[0])


def test_draws_follow_their_distributions() -> None:
    dice = Dice(range(200), 0, CPU)
    normal = dice.normal(2, 3, 1000)
    assert torch.isfinite(normal).all()
    assert abs(float(normal.mean()) - 2) < 0.03
    assert abs(float(normal.std()) - 3) < 0.03
    assert abs(float((normal - 2 > 3).float().mean()) - 0.1587) < 0.005
    uniform = dice.uniform(torch.arange(200.0), torch.arange(200.0) + 2)
    assert ((uniform - torch.arange(200) >= 0) & (uniform - torch.arange(200) < 2)).all()
    assert abs(float(dice.chance(0.3, 1000).float().mean()) - 0.3) < 0.01
    picks = dice.pick(4, 500)
    assert torch.bincount(picks.flatten()).min() > 24_000
    assert picks.max() == 3
    assert dice.sign(9).abs().eq(1).all()


def test_dice_that_are_used_up_say_so() -> None:
    dice = Dice([1], 0, CPU, count=4)
    dice.uniform(0, 1, 3)
    with pytest.raises(IndexError, match="used up"):
        dice.uniform(0, 1, 2)
