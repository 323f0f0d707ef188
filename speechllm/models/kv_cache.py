"""Keys and values of what an LLM has read, kept for the next step: tensors with room, and the state of a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

MIN_ROOM = 32  # columns of the cache that are kept ready for what is read next


class RoomyLayer(DynamicLayer):
    """Keys and values (B, heads, L, D) of a layer, in tensors with room for more columns.

    To read a token writes that token's column; transformers' own layer copies all that was read before. Its
    ``crop`` does for this one as well, since what is cropped is written over. What would move ``keys`` and ``values``
    without the room that they lie in is refused.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs):
        """Append (B, heads, L, D); all keys and all values, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.size(2)
        if not start or end > self.room[0].size(2):
            self._move(end, (key_states, value_states))
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self.room)
        return self.keys, self.values

    def _move(self, num_columns: int, like: tuple[Tensor, Tensor]):
        """Take room for so many columns and a quarter more, and bring along what is held."""
        num_columns += max(MIN_ROOM, num_columns // 4)
        kept, start = (self.keys, self.values), self.get_seq_length()
        self.room = [x.new_empty(*x.shape[:2], num_columns, x.size(3)) for x in like]
        if start:
            for room, old in zip(self.room, kept, strict=True):
                room[:, :, :start] = old

    def batch_select_indices(self, indices: Tensor):
        """Keep, repeat or reorder rows (B')."""
        length = self.get_seq_length()
        if length:
            self.room = [room.index_select(0, indices) for room in self.room]
            self.keys, self.values = (room[:, :, :length] for room in self.room)

    reorder_cache = batch_select_indices

    def batch_repeat_interleave(self, repeats: int):
        """Repeat every row."""
        if self.get_seq_length():
            rows = torch.arange(len(self.keys), device=self.keys.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def offload(self):
        raise RuntimeError("the cache stays where the LLM is")

    prefetch = offload


@dataclass
class DecodeState:
    """Keys and values of what a batch of rows has read so far.

    mask (B, P): True where a cache column is real for the row
    positions (B,): position id of the next token
    """

    cache: DynamicCache
    mask: Tensor
    positions: Tensor


def empty_cache(config) -> DynamicCache:
    """A cache for an LLM of a transformers config, whose layers of full attention have room."""
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def can_forget(cache: DynamicCache) -> bool:
    """Whether all layers of a cache can take back what was read last; sliding attention has dropped some of it."""
    return all(type(layer) is RoomyLayer for layer in cache.layers)
