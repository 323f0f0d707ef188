"""The tables of a data directory with features, joined row by row."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from speechllm.data.data_dir import Utterance, iter_data_dir
from speechllm.data.speed import split_prefix
from speechllm.data.tables import iter_table, read_table
from speechllm.errors import UserError


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance of a manifest; ``ark`` and ``offset`` say where its features lie."""

    utt_id: str
    spk_id: str
    text: str
    text_src: str | None
    prompt: str | None
    lang: str
    ark: str
    offset: int
    num_frames: int

    @property
    def transcript(self) -> str:
        """What is said: the text, unless that is a translation or an answer."""
        return self.text if self.text_src is None else self.text_src


@dataclass(frozen=True, slots=True)
class Window(Row):
    """A stretch of an utterance: ``num_frames`` from frame ``first`` on."""

    first: int = 0

    @classmethod
    def of(cls, row: Row, first: int, num_frames: int) -> "Window":
        values = {field.name: getattr(row, field.name) for field in fields(Row)}
        return cls(**values | {"num_frames": num_frames}, first=first)


def parse_position(value: str) -> tuple[str, int]:
    """Path and offset of ``feats.ark:123``, an entry of feats.scp.

    Raises:
        UserError: it has another form.
    """
    path, _, offset = value.rpartition(":")
    if not path or not offset.isdigit():
        raise UserError(f"{value!r} should be <ark path>:<offset>; extract the features again")
    return path, int(offset)


def skip_to(
    utts: Iterator[Utterance], utt_id: str | None, bad: dict[str, str], where: Path
) -> Utterance | None:
    """Go on to an utterance (None: to the end); those passed on the way must be known as bad."""
    for utt in utts:
        if utt.utt_id == utt_id:
            return utt
        if utt.utt_id not in bad:
            raise UserError(f"{where}: no features of {utt.utt_id}; run extract_fbank again")
    return None


def iter_rows(data_dir: str | Path) -> Iterator[Row]:
    """Join feats.scp and utt2num_frames with the other tables, all in lock step.

    Ids that begin with a speed (``sp0.9-``) are filled from the natural utterance.

    Raises:
        UserError: features without utterance, or an utterance that has neither features nor a
            line in bad_utts.
    """
    data_dir = Path(data_dir)
    feats_scp = data_dir / "feats.scp"
    bad = read_table(data_dir / "bad_utts") if (data_dir / "bad_utts").exists() else {}
    frames, streams = iter_table(data_dir / "utt2num_frames"), {}
    for number, (key, position) in enumerate(iter_table(feats_scp), start=1):
        other, count = next(frames, (None, ""))
        if other != key or not count.isdigit():
            raise UserError(
                f"{data_dir}/utt2num_frames:{number}: {other} {count!r} should be the frames of "
                f"{key}; run extract_fbank again"
            )
        prefix, utt_id = split_prefix(key)
        if prefix not in streams:
            streams[prefix] = iter_data_dir(data_dir)
        utt = skip_to(streams[prefix], utt_id, bad, feats_scp)
        if utt is None:
            raise UserError(f"{feats_scp}:{number}: {key} is not in text; run extract_fbank again")
        ark, offset = parse_position(position)
        yield Row(
            utt_id=key,
            spk_id=prefix + utt.spk_id,
            text=utt.text,
            text_src=utt.text_src,
            prompt=utt.prompt,
            lang=utt.lang,
            ark=ark,
            offset=offset,
            num_frames=int(count),
        )
    for utts in streams.values():
        skip_to(utts, None, bad, feats_scp)
