"""The LLM's cache against transformers' own."""

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from helpers import tiny_llama
from speechllm.models.kv_cache import RoomyLayer


@pytest.mark.parametrize("seed", range(5))
def test_a_cache_with_room_holds_what_one_without_holds(seed):
    """Reading, taking back, and choosing rows, in any order."""
    generator = torch.Generator().manual_seed(seed)
    roomy, plain, num_rows = RoomyLayer(), DynamicLayer(), 3

    def draw(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    for _ in range(60):
        length = plain.get_seq_length()
        match draw(0, 5):
            case 0 if length:
                num_removed = -draw(1, length + 1)
                roomy.crop(num_removed), plain.crop(num_removed)
            case 1 if length:
                indices = torch.randint(num_rows, (draw(1, 6),), generator=generator)
                roomy.batch_select_indices(indices), plain.batch_select_indices(indices)
                num_rows = len(indices)
            case 2 if length and num_rows < 6:
                roomy.batch_repeat_interleave(2), plain.batch_repeat_interleave(2)
                num_rows *= 2
                order = torch.randperm(num_rows, generator=generator)
                roomy.reorder_cache(order), plain.reorder_cache(order)
            case _:
                new = torch.randn(2, num_rows, 2, draw(1, 50), 4, generator=generator)
                for x, expected in zip(roomy.update(*new), plain.update(*new), strict=True):
                    assert torch.equal(x, expected)
        assert roomy.get_seq_length() == plain.get_seq_length()
        if plain.get_seq_length():
            assert torch.equal(roomy.keys, plain.keys)
            assert torch.equal(roomy.values, plain.values)


@torch.inference_mode()
def test_reading_a_token_moves_nothing_that_was_read():
    llm = tiny_llama()
    _, state = llm.start([torch.randn(5, llm.dim)])
    before = [layer.keys.data_ptr() for layer in state.cache.layers]
    for token in range(3, 13):
        llm.step(state, torch.tensor([token]))
    assert [layer.keys.data_ptr() for layer in state.cache.layers] == before
    assert state.cache.get_seq_length() == 15


def test_a_cache_with_room_stays_where_the_llm_is():
    for move in (RoomyLayer().offload, RoomyLayer().prefetch):
        with pytest.raises(RuntimeError, match="stays where the LLM is"):
            move()
