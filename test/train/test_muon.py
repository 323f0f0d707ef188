"""Muon beside AdamW: which learns what, and that its state survives."""

import copy

import pytest
import torch

from speechllm.train.muon import NUM_ITERATIONS, Muon, MuonAdamW


def make(model):
    return MuonAdamW([model[0].weight], [model[0].bias, *model[1].parameters()], 0.02, 1e-3)


def steps(model, optimizer, seeds):
    for seed in seeds:
        x = torch.randn(32, 6, generator=torch.Generator().manual_seed(seed))
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_matrix_updates_are_orthogonal_and_the_rest_is_adamw():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))
    twin = copy.deepcopy(model)
    others = [twin[0].bias, *twin[1].parameters()]
    adamw = torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)
    before = model[0].weight.detach().clone()
    steps(model, make(model), [0])
    steps(twin, adamw, [0])
    torch.testing.assert_close(model[1].weight, twin[1].weight)
    singular = torch.linalg.svdvals((before - model[0].weight.detach()) / 0.02)
    assert ((singular[:3] > 0.3) & (singular[:3] < 1.7)).all()  # the gradient has rank 3


def test_groups_learn_at_their_own_share_of_both_rates():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))
    twin, start = copy.deepcopy(model), copy.deepcopy(model)
    scaled = [{"params": [twin[0].weight], "lr_scale": 0.25}]
    others = [
        {"params": [twin[0].bias], "lr_scale": 0.5},
        {"params": list(twin[1].parameters()), "lr_scale": 1.0},
    ]
    steps(model, make(model), [0])
    steps(twin, MuonAdamW(scaled, others, 0.02, 1e-3), [0])
    for name, share in (("0.weight", 0.25), ("0.bias", 0.5), ("1.weight", 1.0)):
        before, whole, part = (m.get_parameter(name) for m in (start, model, twin))
        torch.testing.assert_close(part - before, share * (whole - before), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_state_survives_saving(num_steps):
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(3)), torch.nn.Linear(6, 3))

    def optimizer_of(model):
        matrices = [layer.weight for layer in model[:3]]
        others = [*(layer.bias for layer in model[:3]), *model[3].parameters()]
        return MuonAdamW(matrices, others, 0.02, 1e-3)

    optimizer = optimizer_of(model)
    steps(model, optimizer, range(num_steps))
    other = copy.deepcopy(model)
    resumed = optimizer_of(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(model, optimizer, [8, 9])
    steps(other, resumed, [8, 9])
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_step_is_that_of_torchs_muon():
    torch.manual_seed(0)
    shapes = [(5, 6), (6, 5), (5, 6), (3, 4)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    optimizers = [
        Muon(ours, 0.02, 0.1, every=1),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, ns_steps=NUM_ITERATIONS),
    ]
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, atol=2e-3, rtol=0)  # torch iterates in bfloat16


def test_matrices_of_one_shape_take_turns():
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(5, 6)) for _ in range(3)]
    optimizer = Muon(params, 0.02, every=2)
    moved = []
    for _ in range(4):
        before = [p.detach().clone() for p in params]
        for p in params:
            p.grad = torch.randn(p.shape)
        optimizer.step()
        moved.append([p.detach() - b for p, b in zip(params, before, strict=True)])
    same = [
        [torch.allclose(a, b, atol=1e-6) for a, b in zip(one, two, strict=True)]
        for one, two in zip(moved, moved[1:], strict=False)
    ]
    assert same == [[True, False, True], [False, True, False], [True, False, True]]
