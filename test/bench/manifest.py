"""A manifest of ten million utterances: opening, planning an epoch, and memory, against dicts."""

import tempfile
import time
from pathlib import Path

import common
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.manifest import Manifest
from speechllm.data.sampler import plan_batches
from speechllm.data.tables import write_table

NUM_ROWS, NUM_DICT_ROWS = 10_000_000, 1_000_000
BATCH_FRAMES = 50_000
ROUNDS = 3
ASPECTS = {"open": "opening", "plan": "planning an epoch", "memory": "memory"}
PEERS = {"kaldiio": "kaldiio.load_scp and a dict", "espnet": "ESPnet's readers and sampler"}


def lengths(num_rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(200, 2000, num_rows, dtype=np.int32)


def sample_manifest(folder: Path) -> pa.RecordBatch:
    """Two rows as the toolkit itself compiles them, for the schema."""
    names = ["en_000001_1_000000", "en_000001_1_000001"]
    text = "some words that a person could say in nine seconds of speech"
    write_data_dir(folder, [Utterance(name, "en_000001", text, "a.wav", "en") for name in names])
    write_table(folder / "feats.scp", {name: "/data/fbank/feats.0.ark:19" for name in names})
    write_table(folder / "utt2num_frames", {name: "900" for name in names})
    compile_manifest(folder, folder / "manifest.arrow")
    return pa.ipc.open_file(pa.memory_map(str(folder / "manifest.arrow"))).get_batch(0)


def manifest_path(folder: Path, num_rows: int) -> Path:
    return folder / f"{num_rows}.arrow"


def write_manifest(folder: Path, num_rows: int) -> Path:
    """A manifest of many rows with ids of their own, quicker than from text tables."""
    sample = sample_manifest(folder)
    index = np.arange(num_rows)
    first = pa.array(np.zeros(num_rows, np.int32))
    text = pa.large_string()
    numbers = pc.utf8_lpad(pc.cast(pa.array(index), text), 9, "0")
    prefix, separator = pa.scalar("en_000001_1", text), pa.scalar("_", text)
    values = {
        "utt_id": pc.binary_join_element_wise(prefix, numbers, separator),
        "offset": pa.array(index * 70_000 + 19),
        "num_frames": pa.array(lengths(num_rows)),
    }
    columns = []
    for field in sample.schema:
        column = values.get(field.name)
        column = sample.column(field.name).take(first) if column is None else column
        columns.append(column if column.type == field.type else column.cast(field.type))
    path = manifest_path(folder, num_rows)
    batch = pa.record_batch(columns, schema=sample.schema)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as out:
        out.write_batch(batch)
    return path


def make_files(folder: Path, num_rows: int, num_dict_rows: int):
    """A manifest of many rows, one of fewer, and the text tables of the latter, which peers read."""
    write_manifest(folder, num_rows)
    manifest = Manifest(write_manifest(folder, num_dict_rows))
    ids = manifest.batch.column("utt_id").to_pylist()
    offsets = manifest.batch.column("offset").to_pylist()
    ark, frames = manifest.row(0).ark, manifest.num_frames.tolist()
    with open(folder / "feats.scp", "w") as scp, open(folder / "shape", "w") as shape:
        scp.writelines(f"{i} {ark}:{offset}\n" for i, offset in zip(ids, offsets, strict=True))
        shape.writelines(f"{i} {n},80\n" for i, n in zip(ids, frames, strict=True))


class Costs:
    """Seconds of two steps, and the memory that they added to the process."""

    def __init__(self):
        self.before, self.start, self.seconds = common.memory("VmRSS"), time.perf_counter(), {}

    def mark(self, name: str):
        now = time.perf_counter()
        self.seconds[name], self.start = now - self.start, now

    def result(self) -> dict:
        peak = common.memory("VmHWM")
        return {**self.seconds, "memory": peak - self.before, "whole": peak}


def use_ours(path: Path, folder: Path) -> dict:
    costs = Costs()
    manifest = Manifest(path)
    costs.mark("open")
    plan_batches(manifest.num_frames, BATCH_FRAMES, 1, 0)
    costs.mark("plan")
    return costs.result()


def use_kaldiio(path: Path, folder: Path) -> dict:
    import kaldiio

    costs = Costs()
    feats = kaldiio.load_scp(str(folder / "feats.scp"))
    lines = (line.split() for line in open(folder / "shape"))
    num_frames = {utt_id: int(shape.split(",")[0]) for utt_id, shape in lines}
    costs.mark("open")
    batches, batch = [], []
    for utt_id in sorted(feats, key=num_frames.__getitem__):
        if batch and num_frames[utt_id] * (len(batch) + 1) > BATCH_FRAMES:
            batches.append(batch)
            batch = []
        batch.append(utt_id)
    costs.mark("plan")
    return costs.result()


def use_espnet(path: Path, folder: Path) -> dict:
    from espnet2.fileio.read_text import read_2columns_text
    from espnet2.samplers.num_elements_batch_sampler import NumElementsBatchSampler

    costs = Costs()
    feats = read_2columns_text(folder / "feats.scp")
    costs.mark("open")
    sampler = NumElementsBatchSampler(BATCH_FRAMES * 80, [str(folder / "shape")])
    assert len(feats) == sum(map(len, sampler))
    costs.mark("plan")
    return costs.result()


USES = {common.OURS: use_ours, "kaldiio": use_kaldiio, "espnet": use_espnet}


def same_entries(manifest: Manifest, folder: Path) -> bool:
    """Whether rows of the manifest say what the peers' dicts say, and a plan has each row once."""
    import kaldiio

    feats = kaldiio.load_scp(str(folder / "feats.scp"))._dict
    for index in np.linspace(0, len(manifest) - 1, 1000).astype(int):
        row = manifest.row(index)
        if feats[row.utt_id] != f"{row.ark}:{row.offset}":
            return False
    plan = np.concatenate(plan_batches(manifest.num_frames, BATCH_FRAMES, 1, 0))
    return len(feats) == len(manifest) and bool((np.bincount(plan) == 1).all())


def bench(corpus: Path, small: bool) -> list[common.Row]:
    num_rows, num_dict_rows = (2000, 1000) if small else (NUM_ROWS, NUM_DICT_ROWS)
    peers = [name for name in PEERS if common.is_installed("manifest", name)]
    found = {name: [] for name in (common.OURS, *peers)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.in_child(make_files, folder, num_rows, num_dict_rows)
        path = manifest_path(folder, num_rows)
        for _ in range(1 if small else ROUNDS):
            for side, costs in found.items():
                costs.append(common.in_child(USES[side], path, folder))
        equal = same_entries(Manifest(manifest_path(folder, num_dict_rows)), folder)
    factor = num_rows / num_dict_rows
    rows = []
    for peer in peers:
        for aspect, title in ASPECTS.items():
            ours = [costs[aspect] for costs in found[common.OURS]]
            theirs = [costs[aspect] * factor for costs in found[peer]]
            unit = "MB" if aspect == "memory" else "s"
            whole = np.median([costs["whole"] for costs in found[common.OURS]])
            rows.append(
                common.make_row(
                    "manifest",
                    f"{PEERS[peer]}, {title}",
                    ours,
                    theirs,
                    equal,
                    ("pyarrow", peer),
                    f"{num_rows:,} rows, theirs extrapolated from {num_dict_rows:,}; entries "
                    f"agree; ours {np.median(ours):.3g} {unit}, theirs {np.median(theirs):.3g} "
                    f"{unit}; our process takes {whole:.0f} MB at its peak",
                )
            )
    return rows


if __name__ == "__main__":
    common.main(bench, {"manifest"})
