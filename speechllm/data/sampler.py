"""Batches of utterances as pure functions of their lengths: same arguments, same batches."""

import numpy as np

CHUNK = 1 << 20  # lengths whose sorting keys are made at once
LENGTH_JITTER = (
    0.05  # lengths are sorted as if up to this much longer, so that each epoch mixes batches anew
)


def plan_batches(
    num_frames: np.ndarray,
    batch_frames: int,
    seed: int,
    epoch: int,
    chosen: np.ndarray | None = None,
    max_batch_size: int = 0,
    lang_ids: np.ndarray | None = None,
    lang_beta: float = 1.0,
) -> list[np.ndarray]:
    """The batches of one epoch, in random order.

    Utterances of similar length go together: the size of a batch times its longest utterance is
    at most ``batch_frames``. An utterance that is longer than that is a batch of its own. To go on
    in the middle of an epoch, skip the batches that are done.

    Args:
        num_frames: (N,) frames of all utterances.
        chosen: indices to use; all if None.
        max_batch_size: utterances per batch; 0 is no limit.
        lang_ids: (N,) language of each utterance, for ``lang_beta``.
        lang_beta: 1 takes languages as they come; otherwise see ``sample_languages``.

    Returns:
        arrays of indices, together each chosen utterance once (with ``lang_beta`` 1).
    """
    rng = np.random.default_rng((seed, epoch))
    if lang_ids is not None and lang_beta != 1.0:
        everything = np.arange(len(num_frames)) if chosen is None else chosen
        chosen = sample_languages(num_frames, everything, lang_ids, lang_beta, rng)
    keys = rng.random(len(num_frames) if chosen is None else len(chosen), dtype=np.float32)
    keys *= LENGTH_JITTER
    keys += 1.0
    keys *= num_frames if chosen is None else num_frames[chosen]
    order = longest_first(keys)
    if chosen is not None:
        order = np.asarray(chosen)[order]
    del keys
    batches = cut(num_frames[order], batch_frames, max_batch_size)
    return [order[batches[i] : batches[i + 1]] for i in rng.permutation(len(batches) - 1)]


def batches_in_order(
    num_frames: np.ndarray,
    batch_frames: int,
    chosen: np.ndarray | None = None,
    max_batch_size: int = 0,
) -> list[np.ndarray]:
    """Batches for decoding: each chosen utterance once, longest first.

    So a lack of memory shows at once. Lengths are as in ``plan_batches``.
    """
    if chosen is None:
        order = longest_first(num_frames)
    else:
        order = np.asarray(chosen)[longest_first(num_frames[chosen])]
    batches = cut(num_frames[order], batch_frames, max_batch_size)
    return [order[a:b] for a, b in zip(batches[:-1], batches[1:], strict=True)]


def longest_first(lens: np.ndarray) -> np.ndarray:
    """Indices (N,) of lengths (N,) from the longest to the shortest; of equal ones the first comes first.

    Length and index are sorted as one number, in place: an argsort of ten million would need four times the memory.
    """
    bits = lens.astype(np.float32, copy=False).view(
        np.uint32
    )  # positive floats are in the order of their bits
    order = np.arange(len(lens), dtype=np.uint64)
    for at in range(0, len(lens), CHUNK):
        part = slice(at, at + CHUNK)
        order[part] |= (~bits[part]).astype(np.uint64) << np.uint64(32)
    order.sort()
    return order.astype(np.uint32).view(np.int32)  # the low half is the index


def cut(lens: np.ndarray, batch_frames: int, max_batch_size: int) -> list[int]:
    """Where batches begin in a roughly falling list of lengths, and where the last one ends.

    The list is used up.
    """
    backwards = lens[::-1]
    np.maximum.accumulate(backwards, out=backwards)  # now the longest from here to the end
    sizes = np.floor_divide(batch_frames, np.maximum(lens, 1, out=lens), out=lens)
    np.clip(sizes, 1, max_batch_size or None, out=sizes)
    at, starts = 0, [0]
    while at < len(sizes):
        at = min(at + int(sizes[at]), len(sizes))
        starts.append(at)
    return starts


def sample_languages(
    num_frames: np.ndarray,
    chosen: np.ndarray,
    lang_ids: np.ndarray,
    beta: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw an epoch of the same length with shares of hours ** beta (arXiv:1901.07291).

    A language that gets more than it has is repeated whole, and the rest of its share is drawn
    without repetition; one that gets less is drawn without repetition, anew in each epoch.
    """
    langs = lang_ids[chosen]
    hours = np.bincount(langs, weights=num_frames[chosen].astype(np.float64))
    shares = np.where(hours > 0, hours**beta, 0.0)
    wanted = shares / shares.sum() * hours.sum()
    drawn = []
    for lang in np.flatnonzero(hours):
        members = chosen[langs == lang]
        times, rest = divmod(wanted[lang] / hours[lang] * len(members), len(members))
        drawn += [members] * int(times) + [rng.permutation(members)[: round(rest)]]
    return np.concatenate(drawn)


def share_of_rank(batches: list[np.ndarray], rank: int, world_size: int) -> list[np.ndarray]:
    """Every ``world_size``-th batch; the first ones are used again so that all get as many."""
    missing = -len(batches) % world_size
    filled = batches + [batches[i % len(batches)] for i in range(missing)]
    return filled[rank::world_size]


def spread(num_rows: int, wanted: int) -> list[int]:
    """Up to ``wanted`` row numbers at equal distances.

    >>> spread(9, 3), spread(2, 3)
    ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, num_rows - 1, min(wanted, num_rows)).astype(int).tolist()


def padding_share(num_frames: np.ndarray, batches: list[np.ndarray]) -> float:
    """Padded frames among all frames of the batches."""
    sizes = np.array([len(batch) for batch in batches])
    starts = np.cumsum(sizes) - sizes
    lens = num_frames[np.concatenate(batches)].astype(np.int64)
    total = (np.maximum.reduceat(lens, starts) * sizes).sum()
    return float(1.0 - lens.sum() / total)
