"""How speech positions line up with the words they carry: cosine similarity in the LLM's embedding space.

arXiv:2307.11795, section 4: "the audio encoder output sequence" and the text embeddings of the reference show a
monotonic band. Here that band is also two numbers.
"""

from pathlib import Path

import numpy as np

FONT = "DejaVu Sans"  # comes with matplotlib
MORE_FONTS = (  # for scripts that it lacks
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "Noto Sans Thai",
    "Noto Sans Lao",
    "Noto Sans Khmer",
    "Noto Sans Myanmar",
    "Noto Sans Devanagari",
    "Unifont",
)


def cosine_matrix(speech: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Map speech positions (N, H) and text embeddings (M, H) to similarities (M, N)."""
    speech = speech / np.linalg.norm(speech, axis=1, keepdims=True).clip(1e-12)
    text = text / np.linalg.norm(text, axis=1, keepdims=True).clip(1e-12)
    return text @ speech.T


def monotonicity(matrix: np.ndarray) -> float:
    """Goodman and Kruskal's gamma of the order of the text tokens and that of the positions most similar to them.

    1 where no token's best position comes before those of the tokens before it, near 0 where the order is random,
    whatever the number of positions; tokens with the same best position do not count. nan for fewer than two tokens or
    speech positions.
    """
    best = matrix.argmax(1)
    later = np.sign(best[None, :] - best[:, None])[np.triu_indices(len(best), 1)]
    if len(later) == 0 or matrix.shape[1] < 2:
        return float("nan")
    untied = np.count_nonzero(later)
    return float(later.sum() / untied) if untied else 0.0


def path_similarity(matrix: np.ndarray) -> float:
    """Mean similarity on the best way along which no token has an earlier position than the one before it."""
    best = np.zeros(matrix.shape[1])
    for row in matrix:
        best = np.maximum.accumulate(best) + row
    return float(best.max()) / len(matrix)


def sharpness(matrix: np.ndarray, other: np.ndarray) -> float:
    """How much more similar the band of a text is to the speech than that of another text would be.

    Even in noise the best way is above the mean, the more so the more positions there are to choose from. The best way
    of another text has the same advantage, so it is subtracted: chance is about 0 at every stride.

    Args:
        matrix, other: similarities of the same N speech positions with their own text and with another.
    """
    return path_similarity(matrix) - path_similarity(other)


def drawable(texts: list[str]) -> tuple[list[str], list[str]]:
    """Font families to draw texts with, of those that are installed, and the texts; of characters that none of the
    fonts has, the code points (U+6211).
    """
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = [FONT, *(name for name in MORE_FONTS if name in installed)]
    known = {ord("\n")}
    for family in families:
        known.update(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    drawn = [
        "".join(c if ord(c) in known else f"U+{ord(c):04X} " for c in text).rstrip()
        for text in texts
    ]
    return families, drawn


def plot_alignment(matrix: np.ndarray, tokens: list[str], title: str, path: str | Path):
    """Heat map of (M tokens, N speech positions)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    families, (title, *tokens) = drawable([title, *tokens])
    fig, axes = pyplot.subplots(
        figsize=(max(5, 0.16 * matrix.shape[1] + 2), max(2.5, 0.26 * len(tokens) + 1.2))
    )
    image = axes.imshow(matrix, aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set_yticks(range(len(tokens)), tokens, fontsize=8, fontfamily=families)
    axes.xaxis.set_major_locator(pyplot.MaxNLocator(integer=True))
    axes.set_xlabel("speech position")
    axes.set_title(title, fontsize=9, fontfamily=families)
    fig.colorbar(image, ax=axes, label="cosine similarity")
    fig.tight_layout()
    fig.savefig(path, dpi=110)
    pyplot.close(fig)
