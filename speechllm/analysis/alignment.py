"""How speech positions line up with the words they carry: cosine similarity in the LLM's embedding space.

arXiv:2307.11795, section 4: "the audio encoder output sequence" and the text embeddings of the reference show a
monotonic band. Here that band is also two numbers.
"""

from pathlib import Path

import numpy as np


def cosine_matrix(speech: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Map speech positions (N, H) and text embeddings (M, H) to similarities (M, N)."""
    speech = speech / np.linalg.norm(speech, axis=1, keepdims=True).clip(1e-12)
    text = text / np.linalg.norm(text, axis=1, keepdims=True).clip(1e-12)
    return text @ speech.T


def monotonicity(matrix: np.ndarray) -> float:
    """Kendall's tau-b between the order of the text tokens and the speech positions most similar to them.

    1 where every token's best position comes after those of the tokens before it, near 0 where the order is random;
    nan for fewer than two tokens or speech positions.
    """
    best = matrix.argmax(1)
    later = np.sign(best[None, :] - best[:, None])[np.triu_indices(len(best), 1)]
    if len(later) == 0 or matrix.shape[1] < 2:
        return float("nan")
    untied = np.count_nonzero(later)
    return float(later.sum() / np.sqrt(len(later) * untied)) if untied else 0.0


def sharpness(matrix: np.ndarray) -> float:
    """How far a token's best position stands out, in standard deviations of its row; mean over tokens."""
    deviation = matrix.std(1).clip(1e-12)
    return float(((matrix.max(1) - matrix.mean(1)) / deviation).mean())


def plot_alignment(matrix: np.ndarray, tokens: list[str], title: str, path: str | Path):
    """Heat map of (M tokens, N speech positions)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    fig, axes = pyplot.subplots(
        figsize=(max(5, 0.16 * matrix.shape[1] + 2), max(2.5, 0.26 * len(tokens) + 1.2))
    )
    image = axes.imshow(matrix, aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set_yticks(range(len(tokens)), tokens, fontsize=8)
    axes.set_xlabel("speech position")
    axes.set_title(title, fontsize=9)
    fig.colorbar(image, ax=axes, label="cosine similarity")
    fig.tight_layout()
    fig.savefig(path, dpi=110)
    pyplot.close(fig)
