"""Check that a data directory keeps its contract."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from speechllm.data.data_dir import iter_audio, iter_data_dir
from speechllm.data.rows import iter_rows
from speechllm.data.tables import iter_table
from speechllm.errors import UserError

NUM_FILES = 1000  # audio files that are looked for; a wrong folder shows in the first ones
MAX_MISSING = 0.05


def validate_data_dir(path: str | Path, allow_empty_text: bool = False) -> dict[str, int]:
    """Read every table of a data directory once.

    Returns:
        utterances per language.

    Raises:
        UserError: the first thing that is wrong, with file, line and utterance: a missing or
            unsorted table, an id twice, tables that disagree, empty text, a shell pipe, an id that
            does not start with its speaker, features of utterances that do not exist.
    """
    path, counts, last_spk, number = Path(path), {}, "", 0
    speakers = iter_speakers(path / "spk2utt")
    for number, utt in enumerate(iter_data_dir(path), start=1):
        if not utt.text and not allow_empty_text:
            raise UserError(f"{path}/text:{number}: {utt.utt_id} has no text; leave it out")
        where = f"{path}/utt2spk:{number}: {utt.utt_id}"
        if not utt.spk_id or not utt.utt_id.startswith(utt.spk_id):
            raise UserError(f"{where} does not start with its speaker {utt.spk_id!r}; rename one")
        if utt.spk_id < last_spk:
            raise UserError(
                f"{where}: speaker {utt.spk_id} comes after {last_spk}; "
                "give all speakers ids of one length"
            )
        if not utt.lang or " " in utt.lang:
            raise UserError(f"{path}/utt2lang:{number}: {utt.utt_id}: {utt.lang!r} is no language")
        pair = next(speakers, None)
        if pair != (utt.spk_id, utt.utt_id):
            got = "nothing" if pair is None else f"{pair[1]} of {pair[0]}"
            raise UserError(
                f"{path}/spk2utt: should go on with {utt.utt_id} of {utt.spk_id}, has {got}; "
                "prepare the data again"
            )
        counts[utt.lang] = counts.get(utt.lang, 0) + 1
        last_spk = utt.spk_id
    if (pair := next(speakers, None)) is not None:
        raise UserError(f"{path}/spk2utt: {pair[1]} is not in utt2spk; prepare the data again")
    if not counts:
        raise UserError(f"{path}/text: no utterances; prepare the data again")
    if (path / "feats.scp").exists():
        for number, row in enumerate(iter_rows(path), start=1):
            if row.num_frames == 0:
                raise UserError(f"{path}/utt2num_frames:{number}: {row.utt_id} has no frames")
    return counts


def check_audio_files(path: str | Path):
    """Look for the first audio files; that a few are missing is the business of the feature extraction.

    Raises:
        UserError: too many are not there.
    """
    path = Path(path)
    files = [(utt_id, audio) for utt_id, audio, *_ in islice(iter_audio(path), NUM_FILES)]
    missing = [(utt_id, audio) for utt_id, audio in files if not Path(audio).is_file()]
    if len(missing) > MAX_MISSING * len(files):
        utt_id, audio = missing[0]
        raise UserError(
            f"{path}/wav.scp: {len(missing)} of the first {len(files)} audio files do not exist, "
            f"first: {audio} of {utt_id}; correct the paths"
        )


def iter_speakers(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (spk_id, utt_id) of spk2utt."""
    for spk_id, value in iter_table(path):
        for utt_id in value.split():
            yield spk_id, utt_id
