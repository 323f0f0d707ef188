"""N-gram models with interpolated modified Kneser-Ney smoothing (Chen and Goodman, 1998), written as ARPA."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from speechllm.errors import UserError

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
FALLBACK = (0.5, 1.0, 1.5)  # discounts where a text is too small to estimate them
NEVER = -99.0  # log10, as ARPA files write it
MAX_WORDS = 5_000_000  # of a text, for its n-grams are all in memory: up to 1.7 kB a word, 8.5 GB


def adjusted_counts(sentences: Iterable[list[str]], order: int) -> list[Counter]:
    """Counts of the n-grams of order 1 to ``order``.

    The highest order is counted as it is; below it, an n-gram counts once for each word that stands before it
    somewhere, except where none can, at a sentence's beginning.
    """
    raw = [Counter() for _ in range(order)]
    for words in sentences:
        words = [BEGIN, *words, END]
        for n in range(1, order + 1):
            raw[n - 1].update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    counts = []
    for n in range(1, order):
        continued = Counter(gram[1:] for gram in raw[n])
        continued.update({gram: c for gram, c in raw[n - 1].items() if gram[0] == BEGIN})
        counts.append(continued)
    return [*counts, raw[-1]]


def discounts(counts: Counter) -> tuple[float, float, float]:
    """What is taken from n-grams that are seen once, twice, and more often."""
    of_count = Counter(min(c, 5) for c in counts.values())
    t1, t2, t3, t4 = (of_count[c] for c in (1, 2, 3, 4))
    if not min(t1, t2, t3, t4):
        return FALLBACK
    y = t1 / (t1 + 2 * t2)
    found = (1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
    return found if all(0 < d < i for i, d in enumerate(found, start=1)) else FALLBACK


def estimate(sentences: Iterable[list[str]], order: int) -> tuple[dict, dict]:
    """Probabilities of all n-grams seen, and the back-off weights of their contexts.

    Raises:
        UserError: no sentences.
    """
    counts = adjusted_counts(sentences, order)
    counts[0].pop((BEGIN,), None)  # it is never predicted
    if not counts[0]:
        raise UserError("an n-gram model needs text to count; there is not one sentence")
    vocabulary_size = len(counts[0]) + 1  # with the unknown word
    probs, backoffs = {}, {}
    for own in counts:
        discount = (0.0, *discounts(own))
        totals, taken = Counter(), defaultdict(float)
        for gram, count in own.items():
            totals[gram[:-1]] += count
            taken[gram[:-1]] += discount[min(count, 3)]
        backoffs |= {context: taken[context] / total for context, total in totals.items()}
        for gram, count in own.items():
            context = gram[:-1]
            lower = probs[gram[1:]] if context else 1 / vocabulary_size
            kept = (count - discount[min(count, 3)]) / totals[context]
            probs[gram] = kept + backoffs[context] * lower
    probs[(UNKNOWN,)] = backoffs.pop(()) / vocabulary_size
    return probs, backoffs


def train_ngram(sentences: Iterable[list[str]], path: str | Path, order: int = 5) -> int:
    """Write an ARPA model of some sentences, each a list of words.

    Returns:
        the number of its n-grams.

    Raises:
        UserError: no sentences.
    """
    probs, backoffs = estimate(sentences, order)
    grams = [[] for _ in range(order)]
    for gram, prob in [((BEGIN,), 0.0), *probs.items()]:
        log_prob = math.log10(prob) if prob else NEVER
        line = f"{log_prob:.6f}\t{' '.join(gram)}"
        if gram in backoffs:
            line += f"\t{math.log10(backoffs[gram]):.6f}"
        grams[len(gram) - 1].append(line)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write("\\data\\\n" + "".join(f"ngram {n}={len(g)}\n" for n, g in enumerate(grams, 1)))
        for n, lines in enumerate(grams, 1):
            file.write(f"\n\\{n}-grams:\n" + "\n".join(sorted(lines)) + "\n")
        file.write("\n\\end\\\n")
    temporary.replace(path)
    return len(probs)
