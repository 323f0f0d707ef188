"""Audio of any length by overlapping windows: where they lie, and how their words are joined."""

MATCH, MISMATCH, GAP = 2.0, -1.0, -1.0  # of the alignment of the words in an overlap
SLACK = 1.5  # an overlap may hold this many times the words that its share of the time promises


def window_bounds(num_frames: int, window: int, overlap: int) -> list[tuple[int, int]]:
    """First frame and number of frames of each window; one if all fits into it, or if ``window`` is 0.

    The last one is as long as the others and begins earlier instead.

    >>> window_bounds(100, 40, 10), window_bounds(30, 40, 10)
    ([(0, 40), (30, 40), (60, 40)], [(0, 30)])
    """
    if not 0 < window < num_frames:
        return [(0, num_frames)]
    firsts = range(0, num_frames - window, window - overlap)
    return [(first, window) for first in (*firsts, num_frames - window)]


def join_windows(bounds: list[tuple[int, int]], words: list[list[str]]) -> list[str]:
    """The words of a whole recording from those of its windows.

    Args:
        bounds: from ``window_bounds``.
        words: of each window.
    """
    starts, stops = [0], []
    for (first, length), (later, _), left, right in zip(
        bounds, bounds[1:], words, words[1:], strict=False
    ):
        stop, start = seam(left, right, (first + length - later) / length)
        stops.append(stop)
        starts.append(start)
    stops.append(len(words[-1]))
    return [word for own, a, b in zip(words, starts, stops, strict=True) for word in own[a:b]]


def seam(left: list[str], right: list[str], share: float) -> tuple[int, int]:
    """Where to go over from one window's words to the next one's.

    What both heard in the overlap is aligned, and the seam lies in the middle of the words that agree: a window hears
    worst at its ends. Where nothing agrees, each side keeps its half of the overlap.

    Args:
        share: of each window's time that the other one covers too.

    Returns:
        how many words of the left window stay, and how many of the right one go.
    """
    tail = min(len(left), round(SLACK * share * len(left)) + 2)
    head = min(len(right), round(SLACK * share * len(right)) + 2)
    start = len(left) - tail
    pairs = common_words(left[start:], right[:head])
    if not pairs:
        return len(left) - round(share * len(left) / 2), round(share * len(right) / 2)
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
