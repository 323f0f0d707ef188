"""Features in shards that are each made once, and joined into the tables of a data directory."""

import heapq
import json
from collections.abc import Iterator
from pathlib import Path

from speechllm.data.speed import split_prefix
from speechllm.data.subset import count_utterances, part_bounds
from speechllm.data.tables import atomic_write, write_table
from speechllm.errors import UserError

SHARD_UTTS = 5000  # a killed job loses no more than these
MAX_BAD_SHARE = 0.05  # of the training set
KINDS = ("ark", "scp", "frames", "json")  # files of a shard; the last one is written last


def num_shards(num_utts: int, num_parts: int) -> int:
    """At least one per part, so that all have work; shards are contiguous and of equal size."""
    return min(num_utts, max(num_parts, -(-num_utts // SHARD_UTTS)))


def shards_of_part(num_utts: int, num_parts: int, part: int) -> list[tuple[int, int, int]]:
    """Shard, first utterance and one past the last, for every shard of part ``part``, from 1."""
    count = num_shards(num_utts, num_parts)
    return [
        (shard, *part_bounds(num_utts, count, shard + 1))
        for shard in range(part - 1, count, num_parts)
    ]


def shard_path(feats_dir: Path, shard: int, kind: str) -> Path:
    return feats_dir / f"feats.{shard}.{kind}"


def read_state(feats_dir: Path, shard: int) -> dict | None:
    """What was written when a shard was complete; None if it is not."""
    try:
        return json.loads(shard_path(feats_dir, shard, "json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def merge_shards(data_dir: Path, feats_dir: Path, num_parts: int, training: bool) -> str:
    """Join all shards into utt2num_frames, bad_utts and feats.scp of the data directory.

    Args:
        training: a small share of utterances may be without features; otherwise none.

    Returns:
        a line that says how many there are.

    Raises:
        UserError: a shard is missing, or too many utterances are bad.
    """
    total = count_utterances(data_dir)
    shards = range(num_shards(total, num_parts))
    bad, odd, prefixes, num_utts = {}, {}, [""], 0
    for shard in shards:
        state = read_state(feats_dir, shard)
        if state is None:
            path = shard_path(feats_dir, shard, "json")
            raise UserError(f"{path}: this shard is missing or unfinished; run extract_fbank again")
        bad |= state["bad"]
        odd |= state["odd"]
        prefixes, num_utts = state["prefixes"], num_utts + state["num_utts"]
    if num_utts != total:
        raise UserError(
            f"{feats_dir}: holds {num_utts} utterances, {data_dir} has {total}; "
            "run extract_fbank again with the same number of parts"
        )
    report = [f"{data_dir}: features of {total - len(bad)} utterances"]
    (data_dir / "feats.scp").unlink(missing_ok=True)
    (data_dir / "bad_utts").unlink(missing_ok=True)
    if bad:
        write_table(data_dir / "bad_utts", bad)
        report.append(describe_bad(data_dir, bad, total, MAX_BAD_SHARE if training else 0.0))
    if odd:
        report.append(f"{len(odd)} kept though odd, first: {min(odd)} ({odd[min(odd)]})")
    for kind, name in (("frames", "utt2num_frames"), ("scp", "feats.scp")):
        with atomic_write(data_dir / name) as file:
            file.writelines(heapq.merge(*(lines(feats_dir, shards, kind, p) for p in prefixes)))
    remove_others(feats_dir, shards)
    return "; ".join(report)


def lines(feats_dir: Path, shards: range, kind: str, prefix: str) -> Iterator[str]:
    """Lines of all shards whose ids have this prefix; sorted, as the shards follow one another."""
    for shard in shards:
        with open(shard_path(feats_dir, shard, kind), encoding="utf-8") as file:
            yield from (line for line in file if split_prefix(line)[0] == prefix)


def describe_bad(data_dir: Path, bad: dict[str, str], total: int, max_share: float) -> str:
    """Say how many utterances have no features; raise UserError if they are too many."""
    text = f"{len(bad)} of {total} utterances are bad, first: {min(bad)} ({bad[min(bad)]})"
    if len(bad) > max_share * total:
        allowed = (
            f"at most {max_share:.0%} of a training set" if max_share else "none of a test set"
        )
        raise UserError(f"{data_dir}: {text}; {allowed} may be, all are in {data_dir}/bad_utts")
    return f"{text}, all are in {data_dir}/bad_utts"


def remove_others(feats_dir: Path, shards: range):
    """Remove shards of an earlier division into other parts."""
    keep = {shard_path(feats_dir, shard, kind) for shard in shards for kind in KINDS}
    for kind in KINDS:
        for path in feats_dir.glob(f"feats.*.{kind}"):
            if path not in keep and path.name.split(".")[1].isdigit():
                path.unlink()
