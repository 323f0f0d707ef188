"""Every benchmark of test/bench finds both sides equal, at a tiny size; how fast they are is not tested."""

import importlib
import math
import sys
from importlib import metadata
from pathlib import Path

import pytest
from audio_files import make_data_dir

from speechllm.bin import compute_cmvn
from speechllm.data.compile import compile_manifest
from speechllm.data.extract import Extractor, extract_part
from speechllm.data.shards import merge_shards
from speechllm.data.tables import read_table
from speechllm.data.tokenizer import train

BENCH = Path(__file__).resolve().parent / "bench"
ROWS = {  # benchmark: distributions that it compares with, and rows where all of them are there
    "startup": ([], 1),
    "fbank": (["kaldi-native-fbank", "lhotse"], 3),
    "stage2": ([], 4),
    "manifest": (["espnet"], 6),
    "encoder": (["espnet"], 5),
    "stage4": ([], 4),
    "llm_step": ([], 2),
    "llm_memory": ([], 1),
    "stage5": ([], 8),
    "greedy": ([], 4),
    "beam4": ([], 1),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """What run.sh makes of the mini corpus, in noise."""
    folder = tmp_path_factory.mktemp("bench")
    data_dir = make_data_dir(folder / "train", seconds=2.0)
    extract_part(data_dir, data_dir / "fbank", Extractor(), 1, 1, lambda *_: None)
    merge_shards(data_dir, data_dir / "fbank", 1, training=True)
    compile_manifest(data_dir, data_dir / "manifest.arrow")
    compute_cmvn.main([str(data_dir)])
    train(read_table(data_dir / "text").values(), folder / "units.model", 40)
    return folder


@pytest.fixture
def bench_module(monkeypatch):
    """A function that imports a file of test/bench, whose names stay there."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("name", ROWS)
def test_both_sides_of_a_benchmark_are_equal(name, bench_module, corpus):
    missing = 0
    for package in ROWS[name][0]:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            missing += 1
    rows = bench_module(name).bench(corpus, True)
    if missing == 0:
        assert len(rows) == ROWS[name][1]
    assert [row.note for row in rows if not row.equal] == []
    names = (name, "no_drafts") if name == "greedy" else name
    assert all(row.bench.startswith(names) for row in rows)
    assert all(math.isfinite(row.ratio) for row in rows)
    if name == "stage2":  # all formats together: between the slowest and the fastest of one round
        *apart, together = [row.ratio for row in rows]
        assert min(apart) <= together <= max(apart)
    if missing:
        pytest.skip(f"{missing} of the peers not installed; tools/install.sh --bench does it")


def test_gpu_benchmark_runs_at_a_tiny_size_on_any_machine(bench_module, capsys):
    rows = bench_module("gpu").main(["--small"])
    kinds = [row["what"].split(",")[0] for row in rows]
    assert kinds == 2 * ["training step"] + 4 * ["greedy decoding"]
    assert "compiled" in rows[1]["what"]
    assert rows[0]["utilisation"] > 0 and all(row["audio_per_second"] > 0 for row in rows)
    assert capsys.readouterr().out.count("LLM passes per utterance") == 2


def test_growth_is_measured_at_every_size(bench_module):
    growth = bench_module("growth")
    points = growth.main(["--small"])
    assert len(points) == 2 * len(growth.CURVES)
    assert all(point["seconds"] > 0 for point in points)
