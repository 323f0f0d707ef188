"""Write a manifest: columns that grow on disk, joined into one Arrow record batch."""

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from speechllm.data.manifest import COLUMNS
from speechllm.data.rows import iter_rows
from speechllm.data.tables import atomic_write
from speechllm.errors import UserError

NUMBERS = {"lang": np.int32, "ark": np.int32, "offset": np.int64, "num_frames": np.int32}
NAMES = ("lang", "ark")  # few different values, each stored once
BUFFER_ROWS = 10_000  # rows between two writes


class NumberColumn:
    """Numbers, or indices into names that are stored once, written to a temporary file."""

    def __init__(self, folder: str, dtype, has_names: bool):
        self.file, self.dtype = tempfile.TemporaryFile(dir=folder), dtype
        self.names = {} if has_names else None

    def write(self, values: list):
        if self.names is not None:
            values = [self.names.setdefault(value, len(self.names)) for value in values]
        self.file.write(np.array(values, self.dtype).tobytes())

    def array(self, num_rows: int) -> pa.Array:
        array = pa.array(mapped(self.file, self.dtype))
        if self.names is None:
            return array
        return pa.DictionaryArray.from_arrays(array, pa.array(list(self.names)))


class TextColumn:
    """Strings or None, written to temporary files in Arrow's own layout."""

    def __init__(self, folder: str):
        self.text, self.ends, self.is_set = (tempfile.TemporaryFile(dir=folder) for _ in range(3))
        self.ends.write(np.int64(0).tobytes())
        self.size, self.num_nulls = 0, 0

    def write(self, values: list):
        encoded = [(value or "").encode() for value in values]
        ends = self.size + np.cumsum([len(e) for e in encoded], dtype=np.int64)
        is_set = np.array([value is not None for value in values])
        self.text.write(b"".join(encoded))
        self.ends.write(ends.tobytes())
        self.is_set.write(is_set.tobytes())
        self.size, self.num_nulls = int(ends[-1]), self.num_nulls + int((~is_set).sum())

    def array(self, num_rows: int) -> pa.Array:
        valid = None
        if self.num_nulls:
            valid = pa.py_buffer(np.packbits(mapped(self.is_set, np.bool_), bitorder="little"))
        ends, text = mapped(self.ends, np.int64), mapped(self.text, np.uint8)
        return pa.LargeStringArray.from_buffers(
            num_rows, pa.py_buffer(ends), pa.py_buffer(text), valid
        )


def mapped(file, dtype) -> np.ndarray:
    """A file's contents as an array that the system loads piece by piece."""
    file.flush()
    return np.memmap(file, dtype, mode="r") if file.tell() else np.empty(0, dtype)


def compile_manifest(data_dir: str | Path, path: str | Path) -> int:
    """Compile a data directory with features into a manifest.

    It is one Arrow record batch, so that every column is one stretch of the file. The columns grow
    on disk: memory does not depend on the number of utterances.

    Returns:
        the number of rows.

    Raises:
        UserError: the tables disagree, or there are no features; see ``iter_rows``.
    """
    path, num_rows = Path(path), 0
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="manifest.") as folder:
        columns = [
            NumberColumn(folder, NUMBERS[name], name in NAMES)
            if name in NUMBERS
            else TextColumn(folder)
            for name in COLUMNS
        ]
        rows = iter_rows(data_dir)
        while buffer := list(islice(rows, BUFFER_ROWS)):
            for name, column in zip(COLUMNS, columns, strict=True):
                column.write([getattr(row, name) for row in buffer])
            num_rows += len(buffer)
        if num_rows == 0:
            raise UserError(f"{data_dir}/feats.scp: no features; run extract_fbank again")
        arrays = [column.array(num_rows) for column in columns]
        batch = pa.record_batch(arrays, names=COLUMNS)
        with atomic_write(path, "wb") as file, pa.ipc.new_file(file, batch.schema) as out:
            out.write_batch(batch)
    return num_rows
