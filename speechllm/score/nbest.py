"""N-best lists: files in Kaldi's manner, errors of every hypothesis, the best that a list allows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechllm.errors import UserError
from speechllm.score import wer
from speechllm.score.inputs import Reference, read_table
from speechllm.score.metrics import Metric, prepare
from speechllm.score.normalize import count_words
from speechllm.score.results import replace_text


@dataclass(frozen=True)
class Nbest:
    """Lists of U utterances, best first.

    Args:
        utt_ids: U ids.
        texts: per utterance its hypotheses.
        scores: by name ("llm", "ctc"), per utterance a score of each hypothesis.
    """

    utt_ids: list[str]
    texts: list[list[str]]
    scores: dict[str, list[list[float]]]

    def chosen(self, places: list[int]) -> dict[str, str]:
        """The text of each utterance whose hypothesis stands at the given place, from 0."""
        rows = zip(self.utt_ids, self.texts, places, strict=True)
        return {utt_id: texts[place] for utt_id, texts, place in rows}

    def num_words(self) -> list[list[int]]:
        return [[count_words(text) for text in texts] for texts in self.texts]


def write_nbest(folder: Path, nbest: Nbest) -> None:
    """Write folder/text and folder/<name>_score, with keys utt-1, utt-2, ...; text last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scores in nbest.scores.items():
        _write(folder / f"{name}_score", nbest.utt_ids, [[f"{x:.6g}" for x in s] for s in scores])
    _write(folder / "text", nbest.utt_ids, nbest.texts)


def _write(path: Path, utt_ids: list[str], lists: list[list[str]]) -> None:
    rows = {
        f"{utt_id}-{place}": " ".join(value.split())
        for utt_id, values in zip(utt_ids, lists, strict=True)
        for place, value in enumerate(values, 1)
    }
    replace_text(path, "".join(f"{key} {rows[key]}".rstrip() + "\n" for key in sorted(rows)))


def read_nbest(folder: Path, utt_ids: list[str]) -> Nbest:
    """Read what ``write_nbest`` wrote, in the order of a test set.

    Raises:
        UserError: a file is missing or wrong, or the lists are those of another test set.
    """
    texts = _read(folder / "text", utt_ids)
    scores = {}
    for path in sorted(folder.glob("*_score")):
        lists = _read(path, utt_ids)
        for utt_id, values, own in zip(utt_ids, lists, texts, strict=True):
            if len(values) != len(own):
                raise UserError(
                    f"{path}: {len(values)} scores for the {len(own)} hypotheses of {utt_id}; "
                    "decode again"
                )
        scores[path.name.removesuffix("_score")] = [[_number(x, path) for x in v] for v in lists]
    return Nbest(list(utt_ids), texts, scores)


def _read(path: Path, utt_ids: list[str]) -> list[list[str]]:
    lists: dict[str, dict[int, str]] = {}
    for key, value in read_table(path).items():
        utt_id, _, place = key.rpartition("-")
        if not utt_id or not place.isdigit():
            raise UserError(f"{path}: {key!r} should be <utterance>-<place>, as {key}-1")
        lists.setdefault(utt_id, {})[int(place)] = value
    if unknown := sorted(lists.keys() - set(utt_ids)):
        raise UserError(
            f"{path}: {len(unknown)} of {len(lists)} n-best lists are of no utterance of the test set, "
            f"first: {unknown[0]}; is it the decoding of another set?"
        )
    if missing := [utt_id for utt_id in utt_ids if utt_id not in lists]:
        raise UserError(
            f"{path}: {len(missing)} of {len(utt_ids)} utterances have no n-best list, "
            f"first: {missing[0]}; decode again"
        )
    for utt_id, values in lists.items():
        if sorted(values) != list(range(1, len(values) + 1)):
            raise UserError(
                f"{path}: places of {utt_id} are not 1 to {len(values)} without gaps; decode again"
            )
    return [[lists[utt_id][place] for place in sorted(lists[utt_id])] for utt_id in utt_ids]


def _number(value: str, path: Path) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{path}: {value!r} is not a number; decode again") from None


def count_errors(
    nbest: Nbest, reference: Reference, metric: Metric, normalised: bool = True
) -> list[np.ndarray]:
    """Per utterance (N, 4) hits, substitutions, deletions, insertions of its hypotheses; of BLEU its statistics."""
    counts: list = [None] * len(nbest.utt_ids)
    for lang in reference.order:
        where = reference.of_lang(lang)
        sizes = [len(nbest.texts[i]) for i in where]
        refs = [
            reference.texts[i] for i, size in zip(where, sizes, strict=True) for _ in range(size)
        ]
        hyps = [text for i in where for text in nbest.texts[i]]
        stats = metric.stats(prepare(refs, lang, normalised), prepare(hyps, lang, normalised), lang)
        for i, own in zip(where, np.split(stats, np.cumsum(sizes)[:-1]), strict=True):
            counts[i] = own
    return counts


def oracle(counts: list[np.ndarray]) -> list[int]:
    """Per utterance the place of the hypothesis with the fewest errors; of equals, the first.

    Args:
        counts: from ``count_errors``.
    """
    return [int(wer.num_errors(own).argmin()) for own in counts]


def mean_value(
    counts: list[np.ndarray], places: list[int], reference: Reference, metric: Metric
) -> float:
    """A metric of one hypothesis per utterance, the plain mean over languages as in all tables."""
    values = []
    for lang in reference.order:
        total = sum(counts[i][places[i]] for i in reference.of_lang(lang))
        values.append(float(metric.value(total)))
    return sum(values) / len(values)
