"""References, hypotheses and decoder statuses from Kaldi files, checked against each other."""

from dataclasses import dataclass
from pathlib import Path

from speechllm.errors import UserError

STATUSES = ("ok", "max_length")


@dataclass(frozen=True)
class Reference:
    """A test set as four lists over its U utterances, sorted by id.

    Args:
        data_dir: where it was read.
        order: its languages in the order of the tables.
        other_ids: utterances of the data directory in languages that nobody asked for.
    """

    utt_ids: list[str]
    texts: list[str]
    langs: list[str]
    spk_ids: list[str]
    data_dir: Path
    order: list[str]
    other_ids: frozenset[str] = frozenset()

    def of_lang(self, lang: str) -> list[int]:
        """Positions of one language's utterances."""
        return [i for i, this in enumerate(self.langs) if this == lang]


def read_table(path: Path) -> dict[str, str]:
    """Read lines of "utterance-id rest"; the rest may be empty.

    Raises:
        UserError: file missing, no file or not UTF-8, an empty line, an id twice.
    """
    table: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; is this the right folder, and is the stage before done?"
        ) from None
    except NotADirectoryError:
        raise UserError(
            f"{path.parent}: is no folder; name the one that holds {path.name}"
        ) from None
    except IsADirectoryError:
        raise UserError(
            f"{path}: is a folder, should be a file; name the folder above it"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; convert the file") from None
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        utt_id, *rest = line.split(maxsplit=1) or [""]
        if not utt_id:
            raise UserError(f"{path}:{number}: empty line; remove it")
        if utt_id in table:
            raise UserError(f"{path}:{number}: utterance {utt_id} a second time; keep one")
        table[utt_id] = rest[0].strip() if rest else ""
    return table


def read_reference(data_dir: Path, langs: list[str] | None = None, text: str = "text") -> Reference:
    """Read text, utt2lang and utt2spk of a data directory.

    Args:
        langs: languages to keep, in the order of the tables; all of them, sorted, if None or empty.
            A directory without utt2lang is taken for the one language named here.
        text: name of the table of the references.

    Raises:
        UserError: a file is missing or wrong, ids disagree, or a language has no utterance.
    """
    texts = read_table(data_dir / text)
    if langs and len(langs) == 1 and not (data_dir / "utt2lang").exists():
        utt2lang = dict.fromkeys(texts, langs[0])
    else:
        utt2lang = read_table(data_dir / "utt2lang")
    utt2spk = read_table(data_dir / "utt2spk")
    for name, table in (("utt2lang", utt2lang), ("utt2spk", utt2spk)):
        if missing := sorted(u for u in texts if not table.get(u)):
            raise UserError(
                f"{data_dir / name}: {len(missing)} of {len(texts)} utterances of text are not in "
                f"it, first: {missing[0]}; prepare the data again"
            )
    found = sorted(set(utt2lang.values()))
    for lang in langs or []:
        if lang not in found:
            raise UserError(
                f"{data_dir}: no utterance of language {lang!r}, only {' '.join(found)}"
            )
    utt_ids = sorted(u for u in texts if not langs or utt2lang[u] in langs)
    if not utt_ids:
        raise UserError(f"{data_dir / 'text'}: no utterance; prepare the data again")
    return Reference(
        utt_ids,
        texts=[texts[u] for u in utt_ids],
        langs=[utt2lang[u] for u in utt_ids],
        spk_ids=[utt2spk[u] for u in utt_ids],
        data_dir=data_dir,
        order=list(dict.fromkeys(langs)) if langs else found,
        other_ids=frozenset(texts.keys() - set(utt_ids)),
    )


def read_hypotheses(hyp_dir: Path, reference: Reference) -> list[str]:
    """Read hyp_dir/text in the order of the reference; an id alone is an empty hypothesis.

    Raises:
        UserError: an utterance of the reference has no hypothesis, or a hypothesis no utterance.
    """
    path = hyp_dir / "text"
    hyps = read_table(path)
    if missing := [u for u in reference.utt_ids if u not in hyps]:
        raise UserError(
            f"{path}: {len(missing)} of {len(reference.utt_ids)} utterances have no hypothesis, "
            f"first: {missing[0]}; decode again"
        )
    if unknown := sorted(hyps.keys() - set(reference.utt_ids) - reference.other_ids):
        raise UserError(
            f"{path}: {len(unknown)} hypotheses have no utterance in {reference.data_dir}, "
            f"first: {unknown[0]}; is it the decoding of another set?"
        )
    return [hyps[u] for u in reference.utt_ids]


def read_statuses(hyp_dir: Path, reference: Reference) -> list[str] | None:
    """Read hyp_dir/utt2status ("ok" or "max_length"), or None where the decoder wrote none.

    Raises:
        UserError: another word, or an utterance without status.
    """
    path = hyp_dir / "utt2status"
    if not path.exists():
        return None
    statuses = read_table(path)
    for utt_id in reference.utt_ids:
        if statuses.get(utt_id) not in STATUSES:
            raise UserError(
                f"{path}: status of {utt_id} is {statuses.get(utt_id)!r}, should be "
                f"{' or '.join(STATUSES)}; decode again"
            )
    return [statuses[u] for u in reference.utt_ids]
