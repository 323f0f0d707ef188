"""The alignment loss against loops, its alignment against trying all, and what it does to a speech LLM."""

import math
from itertools import groupby, product

import pytest
import torch
from torch.nn.functional import cosine_similarity

from helpers import llm_batch, tiny_speech_llm
from speechllm.models.alignment import (
    forced_units,
    mean_of_frames,
    misalignment,
    unit_embeddings,
)


@pytest.mark.parametrize("per_position", [1, 2, 3])
def test_misalignment_by_hand(per_position):
    torch.manual_seed(0)
    units = torch.tensor([[0, 3, 3, 0, 0, 1, 2, 0], [2, 0, 1, 0, 0, 0, 0, 0]])
    table = torch.randn(4, 5)
    positions = torch.randn(2, math.ceil(8 / per_position), 5)
    expected = []
    for b in range(2):
        for n in range(positions.size(1)):
            heard = [int(u) for u in units[b, n * per_position : (n + 1) * per_position] if u]
            if heard:
                target = sum(table[u] for u in heard)
                expected.append(1 - cosine_similarity(positions[b, n], target, dim=0))
    found = misalignment(positions, units, table, per_position)
    torch.testing.assert_close(found, torch.stack(expected))


def test_frames_that_stand_nowhere_say_nothing():
    torch.manual_seed(0)
    units, table, positions = torch.tensor([[1, 2, 3, 2]]), torch.randn(4, 5), torch.randn(1, 2, 5)
    found = misalignment(positions, units, table, torch.tensor([[-1, 0, 1, -1]]))
    expected = 1 - cosine_similarity(positions[0], table[torch.tensor([2, 3])], dim=-1)
    torch.testing.assert_close(found, expected)


def best_path(log_probs: torch.Tensor, said: list[int]) -> list[int]:
    """The likeliest of all label sequences that CTC reads as these units."""
    T, V = log_probs.shape
    paths = [p for p in product(range(V), repeat=T) if [u for u, _ in groupby(p) if u] == said]
    return list(max(paths, key=lambda p: sum(float(log_probs[t, u]) for t, u in enumerate(p))))


def test_forced_units_are_the_best_of_all_paths():
    torch.manual_seed(0)
    said = [[1, 2], [2, 2], [3], [1, 1, 1], []]
    lens, unit_lens = torch.tensor([6, 5, 4, 4, 6]), torch.tensor([2, 2, 1, 3, 0])
    log_probs = (3 * torch.randn(5, 6, 4)).log_softmax(-1)
    units = torch.tensor([row + [0] * (3 - len(row)) for row in said])
    found = forced_units(log_probs, lens, units, unit_lens).tolist()
    for b in range(3):
        n = int(lens[b])
        assert found[b] == best_path(log_probs[b, :n], said[b]) + [0] * (6 - n)
    assert (
        found[3] == found[4] == [0] * 6
    )  # four frames have no room for 1 _ 1 _ 1; nothing is said


def test_silence_has_no_loss():
    positions = torch.randn(1, 4, 5, requires_grad=True)
    loss = misalignment(positions, torch.zeros(1, 4).long(), torch.randn(3, 5), 1).sum()
    loss.backward()
    assert loss == 0 and (positions.grad == 0).all()


def test_a_unit_of_several_tokens_is_their_mean_and_the_blank_a_space():
    table = unit_embeddings(
        ["a", "bc"], lambda piece: [ord(c) for c in piece], lambda ids: ids[:, None] * torch.ones(3)
    )
    assert table[:, 0].tolist() == [ord("\u2581"), 97.0, 98.5]


def test_alignment_pulls_speech_to_what_is_said_whatever_ctc_hears():
    torch.manual_seed(0)
    model = tiny_speech_llm(stack_factor=1, train_encoder=False)
    model.ctc_head = torch.nn.Linear(model.speech.output_dim, 7).requires_grad_(False)
    model.ctc_head.bias[6] = 9.0  # it hears nothing but the last unit, which nobody says
    table = torch.cat([torch.zeros(1, model.llm.dim), torch.randn(6, model.llm.dim)])
    model.start_from_text(table, alignment_weight=5.0)
    model.speech.spec_augment = None
    batch = llm_batch() | {
        "units": torch.tensor([[1, 2, 3], [4, 0, 0], [2, 5, 0]]),
        "unit_lens": torch.tensor([3, 1, 2]),
    }

    def similarities() -> torch.Tensor:
        """Greatest similarity (7,) that any position of the second utterance has with each unit."""
        with torch.no_grad():
            speech, lens = model.eval().encode(batch["feats"], batch["feat_lens"])
        return cosine_similarity(speech[1, : lens[1], None], table, dim=-1).amax(0)

    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    found = []
    for _ in range(60):
        loss, num_tokens, stats = model.train()(**batch)
        (loss / num_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(stats["misalignment"]))
    assert found[-1] < 0.5 * found[0]
    assert similarities()[4] > 0.5 > similarities()[6]
    _, _, stats = model.eval()(**batch)
    assert "misalignment" not in stats
    assert not any("unit_embeddings" in name for name in model.checkpoint_state_dict())


def test_means_of_many_frames_are_right_in_half_precision():
    torch.manual_seed(0)
    frames = (1 + torch.rand(1, 1000, 3)).bfloat16()
    kept = torch.ones(1, 1000, dtype=torch.bool)
    mean, count = mean_of_frames(frames, kept, 1000, 1)
    assert mean.dtype == torch.bfloat16 and count.item() == 1000
    torch.testing.assert_close(mean[0, 0], frames[0].double().mean(0).bfloat16())
