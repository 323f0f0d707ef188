"""Learning rates against their formulas; parameters in their groups."""

import math

import pytest
import torch
from torch import nn

from speechllm.errors import UserError
from speechllm.train import optim


def rates(steps, lr, **settings):
    factor = optim.make_schedule(lr=lr, **settings)
    return [lr * factor(step) for step in steps]


def test_pretraining_schedule_of_the_paper():
    """arXiv:2307.11795: to 1e-3 in 20k steps, then exponential decay over 500k."""
    settings = {"warmup_steps": 20_000, "max_steps": 500_000, "final_lr": 1e-5}
    steps = [1, 10_000, 20_000, 260_000, 500_000, 600_000]
    found = rates(steps, 1e-3, schedule="exponential", **settings)
    assert found == pytest.approx([5e-8, 5e-4, 1e-3, 1e-4, 1e-5, 1e-5])


def test_integration_schedule_of_the_paper():
    """arXiv:2307.11795: to 5e-4 in 5k steps, 5e-6 after 250k; each step by the same factor."""
    settings = {"warmup_steps": 5_000, "max_steps": 250_000, "final_lr": 5e-6}
    found = rates([2_500, 5_000, 250_000], 5e-4, schedule="exponential", **settings)
    assert found == pytest.approx([2.5e-4, 5e-4, 5e-6])
    a, b, c, d = rates([7_000, 7_001, 200_000, 200_001], 5e-4, schedule="exponential", **settings)
    assert b / a == pytest.approx(d / c) == pytest.approx(0.01 ** (1 / 245_000))


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", lambda t: 2.0),
        ("linear", lambda t: 2.0 - 1.5 * t),
        ("cosine", lambda t: 0.5 + 1.5 * (1 + math.cos(math.pi * t)) / 2),
        ("exponential", lambda t: 2.0 * (0.5 / 2.0) ** t),
    ],
)
def test_decay(schedule, expected):
    settings = {"warmup_steps": 10, "max_steps": 110, "final_lr": 0.5}
    found = rates([5, 10, 35, 60, 110, 999], 2.0, schedule=schedule, **settings)
    assert found == pytest.approx([1.0] + [expected(t) for t in (0, 0.25, 0.5, 1, 1)])


def test_inverse_sqrt():
    settings = {"schedule": "inverse_sqrt", "warmup_steps": 100, "final_lr": 0.1}
    found = rates([50, 100, 400, 900, 10**9], 1.0, **settings)
    assert found == pytest.approx([0.5, 1, 1 / 2, 1 / 3, 0.1])


def test_without_warm_up_the_first_step_has_the_full_rate():
    for schedule in ("constant", "inverse_sqrt"):
        assert rates([1], 3.0, schedule=schedule) == [3.0]


def test_run_shorter_than_its_warm_up():
    found = rates([1, 4], 1.0, schedule="cosine", warmup_steps=200, max_steps=4)
    assert found == [1 / 200, 4 / 200]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"schedule": "cosin"}, "optim.schedule is 'cosin'; choose from constant, exponential"),
        ({"schedule": "cosine"}, "optim.max_steps is not given"),
        ({"schedule": "exponential", "max_steps": 9}, "optim.final_lr is 0.0; .* e.g. 0.01"),
    ],
)
def test_numbers_that_a_schedule_lacks(settings, message):
    with pytest.raises(UserError, match=message):
        optim.make_schedule(lr=1.0, **settings)


@pytest.fixture
def model():
    model = nn.ModuleDict({"encoder": nn.Linear(2, 3), "frozen": nn.Linear(3, 3)})
    model["encoder_head"] = nn.Linear(3, 1)
    model["frozen"].requires_grad_(False)
    return model


def test_groups_with_a_rate_of_their_own(model):
    groups = optim.param_groups(model, {"encoder": 0.1})
    optimizer, schedule = optim.make(groups, lr=2.0, warmup_steps=4, weight_decay=0.5)
    optim.set_lr(optimizer, schedule, 1)
    found = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert found == {
        id(model["encoder"].weight): (0.05, 0.5),
        id(model["encoder"].bias): (0.05, 0.0),
        id(model["encoder_head"].weight): (0.5, 0.5),
        id(model["encoder_head"].bias): (0.5, 0.0),
    }


def test_group_of_no_module(model):
    with pytest.raises(ValueError, match="no module 'encodr'"):
        optim.param_groups(model, {"encodr": 0.1})


def test_nothing_to_train(model):
    with pytest.raises(UserError, match="every weight of the model is frozen"):
        optim.make(model["frozen"].parameters(), lr=1.0)


def test_fused_step_equals_the_plain_one():
    torch.manual_seed(0)
    start = [torch.randn(5, 4), torch.randn(4)]
    ours, plain = ([nn.Parameter(t.clone()) for t in start] for _ in range(2))
    optimizer, _ = optim.make(ours, lr=0.1, weight_decay=0.2, betas=(0.9, 0.98))
    assert optimizer.defaults["fused"]
    groups = [
        {"params": [plain[0]], "weight_decay": 0.2},
        {"params": [plain[1]], "weight_decay": 0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.98), foreach=False)
    for _ in range(5):
        for a, b in zip(ours, plain, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        optimizer.step()
        reference.step()
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b)
