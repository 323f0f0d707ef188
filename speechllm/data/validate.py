"""Check that a data directory keeps its contract."""

from pathlib import Path

from speechllm.data.data_dir import iter_data_dir
from speechllm.data.speed import split_prefix
from speechllm.data.tables import iter_table, read_table
from speechllm.errors import UserError


def validate_data_dir(path: str | Path, allow_empty_text: bool = False) -> dict[str, int]:
    """Read every table of a data directory once.

    Returns:
        utterances per language.

    Raises:
        UserError: naming file and utterance, at the first thing that is wrong: a missing or unsorted table, an id
            twice, tables that disagree, empty text, a shell pipe, an id that does not start with its speaker,
            spk2utt that does not say what utt2spk says, features or frames of utterances that do not exist.
    """
    path = Path(path)
    speakers = iter_speakers(path / "spk2utt")
    counts, last_spk = {}, ""
    for utt in iter_data_dir(path):
        if not utt.text and not allow_empty_text:
            raise UserError(
                f"{path}/text: {utt.utt_id}: the text is empty; leave the utterance out"
            )
        if not utt.spk_id or not utt.utt_id.startswith(utt.spk_id):
            raise UserError(
                f"{path}/utt2spk: {utt.utt_id}: must start with its speaker {utt.spk_id!r}, "
                "or utterances and speakers sort differently"
            )
        if utt.spk_id < last_spk:
            raise UserError(
                f"{path}/utt2spk: {utt.utt_id}: speaker {utt.spk_id} comes after {last_spk}"
            )
        if not utt.lang or " " in utt.lang:
            raise UserError(f"{path}/utt2lang: {utt.utt_id}: {utt.lang!r} is not a language code")
        pair = next(speakers, None)
        if pair != (utt.spk_id, utt.utt_id):
            raise UserError(
                f"{path}/spk2utt: {utt.utt_id} of {utt.spk_id} expected, got {pair}; prepare the data again"
            )
        counts[utt.lang] = counts.get(utt.lang, 0) + 1
        last_spk = utt.spk_id
    if (pair := next(speakers, None)) is not None:
        raise UserError(f"{path}/spk2utt: {pair[1]} is not in utt2spk; prepare the data again")
    if not counts:
        raise UserError(f"{path}: no utterances")
    if (path / "feats.scp").exists():
        validate_feats(path)
    return counts


def iter_speakers(path: Path):
    """Yield (spk_id, utt_id) of spk2utt."""
    for spk_id, value in iter_table(path):
        for utt_id in value.split():
            yield spk_id, utt_id


def validate_feats(path: Path):
    """Check feats.scp and utt2num_frames against text; an utterance without features must stand in bad_utts."""
    bad = read_table(path / "bad_utts") if (path / "bad_utts").exists() else {}
    frames, texts = iter_table(path / "utt2num_frames"), {}
    for utt_id, _ in iter_table(path / "feats.scp"):
        key, count = next(frames, (None, ""))
        if key != utt_id:
            raise UserError(
                f"{path}/utt2num_frames: got {key}, but feats.scp has {utt_id}; run extract_fbank again"
            )
        if not count.isdigit() or int(count) == 0:
            raise UserError(f"{path}/utt2num_frames: {utt_id}: {count!r} is not a number of frames")
        prefix, natural = split_prefix(utt_id)
        text_ids = texts.setdefault(prefix, iter_table(path / "text"))
        check_reaches(path, text_ids, natural, bad)
    for key, _ in frames:
        raise UserError(
            f"{path}/feats.scp: {key} is missing, but utt2num_frames has it; run extract_fbank again"
        )
    for text_ids in texts.values():
        check_reaches(path, text_ids, None, bad)


def check_reaches(path: Path, text_ids, utt_id: str | None, bad: dict[str, str]):
    """Go on in ``text`` to an utterance; those passed on the way must be known as bad."""
    for key, _ in text_ids:
        if key == utt_id:
            return
        if key not in bad:
            raise UserError(f"{path}/feats.scp: {key} has no features; run extract_fbank again")
    if utt_id is not None:
        raise UserError(f"{path}/feats.scp: {utt_id} is not in text; run extract_fbank again")
