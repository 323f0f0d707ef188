"""A data directory compiled into one memory-mapped Arrow table, opened in constant time and memory."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute

from speechllm.data.ark import parse_position
from speechllm.data.data_dir import Utterance, iter_data_dir
from speechllm.data.speed import split_prefix
from speechllm.data.tables import atomic_write, iter_table, read_table
from speechllm.errors import UserError

TEXT_COLUMNS = ("utt_id", "spk_id", "text", "text_src", "prompt")
NAME_COLUMNS = ("lang", "ark")  # few different values
NUMBER_COLUMNS = {"offset": np.int64, "num_frames": np.int32}
BUFFER_ROWS = 10_000  # rows between two writes


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


class Manifest:
    """The utterances of a data directory; ``pickle`` passes the path on, not the contents.

    Attributes:
        num_frames: (N,) int32, in the file's own memory.
        lang_ids: (N,) int32, indices into ``langs``.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        try:
            source = pa.memory_map(self.path)
            self.batch = pa.ipc.open_file(source).get_batch(0)
            self.columns = [self.batch.column(name) for name in Row.__slots__]
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: no such manifest; run speechllm.bin.compile_manifest"
            ) from error
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise UserError(
                f"{path}: not a manifest; run speechllm.bin.compile_manifest"
            ) from error
        self.num_frames = self.batch.column("num_frames").to_numpy()
        self.lang_ids = self.batch.column("lang").indices.to_numpy()
        self.langs = self.batch.column("lang").dictionary.to_pylist()

    @classmethod
    def open(cls, path: str | Path) -> "Manifest":
        """Open manifest.arrow.

        Raises:
            UserError: it is missing or something else.
        """
        return cls(path)

    def __len__(self) -> int:
        return self.batch.num_rows

    def __reduce__(self):
        return Manifest, (self.path,)

    def row(self, index: int) -> Row:
        return Row(*(column[int(index)].as_py() for column in self.columns))

    def text_lens(self) -> np.ndarray:
        """Characters of each text: (N,), without making strings of them."""
        return pa.compute.utf8_length(self.batch.column("text")).to_numpy()


def iter_rows(data_dir: str | Path) -> Iterator[tuple[Utterance, str, str, int]]:
    """Join feats.scp and utt2num_frames with the other tables, all in lock step.

    Ids that begin with a speed (``sp0.9-``) are filled from the natural utterance.

    Yields:
        utterance, id of the features, their position, number of frames

    Raises:
        UserError: features without utterance, or an utterance that has neither features nor stands in bad_utts.
    """
    data_dir = Path(data_dir)
    bad = read_table(data_dir / "bad_utts") if (data_dir / "bad_utts").exists() else {}
    frames, streams = iter_table(data_dir / "utt2num_frames"), {}
    feats_scp = data_dir / "feats.scp"

    def skip(utts, prefix: str, until: str | None):
        for utt in utts:
            if utt.utt_id == until:
                return utt
            if utt.utt_id not in bad:
                raise UserError(
                    f"{feats_scp}: {prefix}{utt.utt_id} has no features; run extract_fbank again"
                )
        return None

    for utt_id, position in iter_table(feats_scp):
        key, count = next(frames, (None, ""))
        if key != utt_id or not count.isdigit():
            raise UserError(
                f"{data_dir}/utt2num_frames: {utt_id}: got {key} {count!r}; run extract_fbank again"
            )
        prefix, natural = split_prefix(utt_id)
        utts = streams.setdefault(prefix, iter_data_dir(data_dir))
        utt = skip(utts, prefix, natural)
        if utt is None:
            raise UserError(
                f"{feats_scp}: {utt_id} is not in {data_dir}/text; run extract_fbank again"
            )
        yield utt, prefix, position, int(count)
    for prefix, utts in streams.items():
        skip(utts, prefix, None)


class ColumnWriter:
    """Write one column's values to temporary files as they come, and map them into memory at the end."""

    def __init__(self, folder: str, dtype=None):
        self.dtype = dtype  # None for text
        self.values = tempfile.TemporaryFile(dir=folder)
        self.offsets = tempfile.TemporaryFile(dir=folder)
        self.nulls = tempfile.TemporaryFile(dir=folder)
        self.size, self.num_nulls = 0, 0

    def write(self, values: list):
        if self.dtype is not None:
            self.values.write(np.array(values, self.dtype).tobytes())
            return
        encoded = [(value or "").encode() for value in values]
        ends = self.size + np.cumsum([len(e) for e in encoded], dtype=np.int64)
        is_set = np.array([value is not None for value in values])
        self.offsets.write(ends.tobytes())
        self.nulls.write(is_set.tobytes())
        self.values.write(b"".join(encoded))
        self.size, self.num_nulls = int(ends[-1]), self.num_nulls + int((~is_set).sum())

    def array(self, num_rows: int) -> pa.Array:
        if self.dtype is not None:
            return pa.array(mapped(self.values, self.dtype))
        offsets = np.concatenate([[0], mapped(self.offsets, np.int64)])
        valid = None
        if self.num_nulls:
            valid = pa.py_buffer(np.packbits(mapped(self.nulls, np.bool_), bitorder="little"))
        data = pa.py_buffer(mapped(self.values, np.uint8))
        return pa.LargeStringArray.from_buffers(num_rows, pa.py_buffer(offsets), data, valid)


def mapped(file, dtype) -> np.ndarray:
    """A file's contents as an array that the system loads piece by piece."""
    file.flush()
    return np.memmap(file, dtype, mode="r") if file.tell() else np.empty(0, dtype)


def compile_manifest(data_dir: str | Path, path: str | Path) -> int:
    """Compile a data directory with features into a manifest.

    The whole is one Arrow record batch, so that every column is one stretch of the file. It is put together on disk:
    memory does not grow with the texts.

    Returns:
        the number of rows.

    Raises:
        UserError: the tables disagree, or there are no features; see ``iter_rows``.
    """
    path = Path(path)
    names = {name: {} for name in NAME_COLUMNS}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="manifest.") as folder:
        writers = {name: ColumnWriter(folder) for name in TEXT_COLUMNS}
        writers |= {name: ColumnWriter(folder, np.int32) for name in NAME_COLUMNS}
        writers |= {name: ColumnWriter(folder, dtype) for name, dtype in NUMBER_COLUMNS.items()}
        buffers, num_rows = {name: [] for name in writers}, 0

        def flush():
            for name, values in buffers.items():
                writers[name].write(values)
                values.clear()

        for utt, prefix, position, num_frames in iter_rows(data_dir):
            ark, offset = parse_position(position)
            values = {
                "utt_id": prefix + utt.utt_id,
                "spk_id": prefix + utt.spk_id,
                "text": utt.text,
                "text_src": utt.text_src,
                "prompt": utt.prompt,
                "lang": names["lang"].setdefault(utt.lang, len(names["lang"])),
                "ark": names["ark"].setdefault(ark, len(names["ark"])),
                "offset": offset,
                "num_frames": num_frames,
            }
            for name, value in values.items():
                buffers[name].append(value)
            num_rows += 1
            if num_rows % BUFFER_ROWS == 0:
                flush()
        if num_rows == 0:
            raise UserError(f"{data_dir}/feats.scp: no features; run extract_fbank again")
        if buffers["utt_id"]:
            flush()
        arrays = {name: writer.array(num_rows) for name, writer in writers.items()}
        for name, values in names.items():
            arrays[name] = pa.DictionaryArray.from_arrays(arrays[name], pa.array(list(values)))
        batch = pa.record_batch([arrays[name] for name in Row.__slots__], names=list(Row.__slots__))
        with atomic_write(path, "wb") as file, pa.ipc.new_file(file, batch.schema) as out:
            out.write_batch(batch)
    return num_rows
