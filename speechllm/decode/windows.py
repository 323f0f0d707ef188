"""Audio of any length in windows: where they lie, and how their words are joined."""

from bisect import bisect
from math import inf

import numpy as np

PAUSE = 20  # frames of 10 ms that must be quiet
QUIET = 0.2
MATCH, MISMATCH, GAP = 2.0, -1.0, -1.0  # of the alignment of the words in an overlap
SLACK = 1.5  # an overlap may hold this many times the words that its share of the time promises


def find_pauses(loudness: np.ndarray) -> list[tuple[int, int]]:
    """Pauses of a recording, as the frame in their middle and their number of frames.

    A pause is a stretch of ``PAUSE`` frames or more, each nearly as quiet as the quietest: below a fifth of the way
    from the 5th percentile to the median.

    Args:
        loudness: (T,), per frame of 10 ms, on a logarithmic scale.
    """
    low, middle = np.percentile(loudness, [5, 50])
    is_quiet = np.concatenate([[False], loudness < low + QUIET * (middle - low), [False]])
    edges = np.flatnonzero(is_quiet[1:] != is_quiet[:-1])
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [((begin + end) // 2, end - begin) for begin, end in runs if end - begin >= PAUSE]


def window_bounds(
    num_frames: int, window: int, overlap: int, pauses: list[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """First frame and number of frames of each window; one if all fits into it, or if ``window`` is 0.

    A window ends in the longest pause of its second half, or else of its first, and the next one begins there. Where
    there is no pause it has its full length and shares ``overlap`` frames with the next one; the last one then
    begins earlier instead of being shorter.

    Args:
        pauses: from ``find_pauses``.

    >>> window_bounds(100, 40, 10), window_bounds(30, 40, 10), window_bounds(70, 40, 10, [(35, 5)])
    ([(0, 40), (30, 40), (60, 40)], [(0, 30)], [(0, 35), (35, 35)])
    """
    if not window:
        return [(0, num_frames)]
    bounds, first = [], 0
    while num_frames - first > window:
        if cut := longest_pause(pauses, first, window):
            bounds.append((first, cut - first))
            first = cut
        else:
            bounds.append((first, window))
            first = min(first + window - overlap, num_frames - window)
    return [*bounds, (first, num_frames - first)]


def longest_pause(pauses: list[tuple[int, int]], first: int, window: int) -> int | None:
    """The frame at which a window from ``first`` on should end, if there is a pause in it."""
    for begin, end in ((first + window // 2, first + window), (first, first + window // 2)):
        inside = pauses[bisect(pauses, (begin, inf)) : bisect(pauses, (end, inf))]
        if inside:
            return max(inside, key=lambda pause: pause[1])[0]
    return None


def join_windows(bounds: list[tuple[int, int]], words: list[list[str]]) -> list[str]:
    """The words of a whole recording from those of its windows; of windows without an overlap all of them.

    Args:
        bounds: from ``window_bounds``.
        words: of each window.
    """
    starts, stops = [0], []
    for (first, length), (later, later_length), left, right in zip(
        bounds, bounds[1:], words, words[1:], strict=False
    ):
        shared = first + length - later
        shares = shared / length, shared / later_length
        stop, start = seam(left, right, *shares) if shared else (len(left), 0)
        stops.append(stop)
        starts.append(start)
    stops.append(len(words[-1]))
    return [word for own, a, b in zip(words, starts, stops, strict=True) for word in own[a:b]]


def seam(
    left: list[str], right: list[str], left_share: float, right_share: float
) -> tuple[int, int]:
    """Where to go over from one window's words to the next one's.

    What both heard in the overlap is aligned, and the seam lies in the middle of the words that agree: a window hears
    worst at its ends. Where nothing agrees, each side keeps its half of the overlap.

    Args:
        left_share, right_share: of each window's time that the other one covers too.

    Returns:
        how many words of the left window stay, and how many of the right one go.
    """
    tail = min(len(left), round(SLACK * left_share * len(left)) + 2)
    head = min(len(right), round(SLACK * right_share * len(right)) + 2)
    start = len(left) - tail
    pairs = common_words(left[start:], right[:head])
    if not pairs:
        return len(left) - round(left_share * len(left) / 2), round(right_share * len(right) / 2)
    i, j = pairs[len(pairs) // 2]
    return start + i + 1, j + 1


def common_words(left: list[str], right: list[str]) -> list[tuple[int, int]]:
    """Places of equal words along the best local alignment (Smith and Waterman, 1981) of two lists."""
    scores = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    best, at = 0.0, (0, 0)
    for i, a in enumerate(left, start=1):
        for j, b in enumerate(right, start=1):
            step = scores[i - 1][j - 1] + (MATCH if a == b else MISMATCH)
            scores[i][j] = max(0.0, step, scores[i - 1][j] + GAP, scores[i][j - 1] + GAP)
            if scores[i][j] > best:
                best, at = scores[i][j], (i, j)
    pairs, (i, j) = [], at
    while scores[i][j] > 0:
        same = left[i - 1] == right[j - 1]
        if scores[i][j] == scores[i - 1][j - 1] + (MATCH if same else MISMATCH):
            if same:
                pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif scores[i][j] == scores[i - 1][j] + GAP:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
