"""A data directory as one memory-mapped Arrow table, opened in constant time and memory."""

import codecs
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechllm.data.rows import Row
from speechllm.errors import UserError

TEXT_CHUNK = 1 << 22  # bytes of text looked through at once
COLUMNS = [field.name for field in fields(Row)]


@dataclass(frozen=True)
class Repeated:
    """Lengths and languages of a manifest whose utterances are learnt from several times, as its attributes."""

    num_frames: np.ndarray
    lang_ids: np.ndarray
    langs: list[str]


class Manifest:
    """The utterances of a data directory, see ``compile_manifest``; pickled as its path.

    Args:
        path: manifest.arrow.
        target: "transcript", or "text": what is said then counts as not known, and ``Row.transcript`` is the text.

    Attributes:
        num_frames: (N,) int32, in the file's own memory.
        lang_ids: (N,) int32, indices into ``langs``.
        langs: language codes.

    Raises:
        UserError: the file is missing or is something else.
    """

    def __init__(self, path: str | Path, target: str = "transcript"):
        self.path, self.target = str(path), target
        try:
            self.batch = pa.ipc.open_file(pa.memory_map(self.path)).get_batch(0)
            self.columns = [self.batch.column(name) for name in COLUMNS]
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file; run speechllm.bin.compile_manifest") from error
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise UserError(
                f"{path}: not a manifest; run speechllm.bin.compile_manifest"
            ) from error
        self.num_frames = self.batch.column("num_frames").to_numpy()
        self.lang_ids = self.batch.column("lang").indices.to_numpy()
        self.langs = self.batch.column("lang").dictionary.to_pylist()

    def __len__(self) -> int:
        return self.batch.num_rows

    def __reduce__(self):
        return Manifest, (self.path, self.target)

    def repeated(self, times: int) -> Repeated:
        """Utterance i of the k-th time, from 0, has the index i + k N."""
        return Repeated(np.tile(self.num_frames, times), np.tile(self.lang_ids, times), self.langs)

    def row(self, index: int) -> Row:
        row = Row(*(column[int(index)].as_py() for column in self.columns))
        return row if self.target == "transcript" else replace(row, text_src=None)

    def transcripts(self) -> pa.Array:
        """What is said in each utterance: (N,) strings."""
        text, text_src = self.batch.column("text"), self.batch.column("text_src")
        if self.target == "text" or text_src.null_count == len(text):
            return text
        return pc.coalesce(text_src, text)

    def transcript_lens(self) -> np.ndarray:
        """Characters of each transcript: (N,)."""
        return pc.utf8_length(self.transcripts()).to_numpy()

    def characters(self) -> set[str]:
        """All characters of the transcripts."""
        found, decoder = set(), codecs.getincrementaldecoder("utf-8")()
        data = self.transcripts().buffers()[2]
        for start in range(0, data.size if data else 0, TEXT_CHUNK):
            found.update(decoder.decode(data[start : start + TEXT_CHUNK].to_pybytes()))
        return found

    def containing(self, text: str) -> np.ndarray:
        """Indices of the utterances whose transcript contains a text."""
        return np.flatnonzero(pc.match_substring(self.transcripts(), text).to_numpy(False))
