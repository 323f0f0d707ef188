"""How many positions speech takes in the LLM, beside the text that has to be written."""

from collections.abc import Sequence
from pathlib import Path


def length_report(sizes: Sequence[tuple[str, int, int, int]]) -> dict[str, dict[str, float]]:
    """Sums and ratios over utterances, per language and of all.

    Args:
        sizes: (language, encoder frames, speech positions, tokens) of each utterance.
    """
    by_lang = {"all": list(sizes)}
    for size in sizes:
        by_lang.setdefault(size[0], []).append(size)
    report = {}
    for lang, members in sorted(by_lang.items()):
        frames, positions, tokens = (sum(size[i] for size in members) for i in (1, 2, 3))
        report[lang] = {
            "num_utts": len(members),
            "frames": frames,
            "positions": positions,
            "tokens": tokens,
            "frames_per_position": frames / max(1, positions),
            "positions_per_token": positions / max(1, tokens),
        }
    return report


def plot_lengths(sizes: Sequence[tuple[str, int, int, int]], path: Path):
    """Draw the speech positions of each utterance over its tokens, with the line where both are equal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    for lang in sorted({size[0] for size in sizes}):
        points = [(tokens, positions) for name, _, positions, tokens in sizes if name == lang]
        axes.scatter(*zip(*points, strict=True), s=6, label=lang)
    longest = max((max(size[2:]) for size in sizes), default=1)
    axes.plot([0, longest], [0, longest], color="grey", linewidth=1)
    axes.set_xlabel("tokens to be written")
    axes.set_ylabel("speech positions")
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
