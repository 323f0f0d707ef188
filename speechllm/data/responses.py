"""An LLM's answers to transcripts: parts that grow while jobs run, and the data directory that is made of them."""

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from speechllm.data.data_dir import Utterance, iter_data_dir, write_data_dir
from speechllm.data.speed import split_prefix
from speechllm.data.subset import part_bounds
from speechllm.data.tables import atomic_write, iter_table, read_table
from speechllm.errors import UserError

FEATURE_TABLES = ("feats.scp", "utt2num_frames")
ABOUT = "responses.json"


@dataclass(frozen=True)
class Response:
    """What the LLM answered to an utterance's transcript.

    Args:
        instruction: text that stood before the transcript.
        fault: why it cannot be learnt from, "" if it can.
        score: sum of its tokens' log-probabilities, with the end's; 0 where nothing was asked.
    """

    utt_id: str
    text: str
    instruction: str
    fault: str
    score: float


class ResponsePart:
    """The answers of one job, a line each, added batch by batch; what is there is not asked again.

    Args:
        settings: what decides the answers, plain values; a part that was made with others starts anew.

    Attributes:
        set_aside: where the answers went that were made with other settings; None if there are none.

    Raises:
        UserError: a line that is no answer.
    """

    def __init__(self, folder: str | Path, num_parts: int, part: int, settings: dict):
        self.path = part_path(Path(folder), num_parts, part)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.header = json.dumps(settings, sort_keys=True, ensure_ascii=False) + "\n"
        self.done, self.set_aside = set(), None
        if self.path.exists():
            if self._read():
                return
            self.set_aside = self.path.with_name(f"{self.path.name}.stale")
            os.replace(self.path, self.set_aside)
        with atomic_write(self.path) as file:
            file.write(self.header)

    def _read(self) -> bool:
        """Note what is done and cut off a line that was not finished; False if the settings were others."""
        with open(self.path, "r+b") as file:
            if file.readline().decode(errors="replace") != self.header:
                return False
            end = file.tell()
            for number, line in enumerate(file, 2):
                if not line.endswith(b"\n"):
                    break
                self.done.add(parse_response(line, f"{self.path}:{number}").utt_id)
                end += len(line)
            file.truncate(end)
        return True

    def add(self, responses: list[Response]):
        with open(self.path, "a", encoding="utf-8") as file:
            for response in responses:
                values = {name: getattr(response, name) for name in Response.__annotations__}
                file.write(json.dumps(values, ensure_ascii=False) + "\n")


def parse_response(line: str | bytes, where: str) -> Response:
    """The answer of one line of a part.

    Raises:
        UserError: it is none.
    """
    try:
        return Response(**json.loads(line))
    except (ValueError, TypeError):
        raise UserError(f"{where}: not an answer; delete this line and run respond again") from None


def part_path(folder: Path, num_parts: int, part: int) -> Path:
    return folder / f"responses.{part}-of-{num_parts}.jsonl"


def digest_of_part(manifest, num_parts: int, part: int) -> str:
    """SHA-256 of what a part's answers depend on: ids, transcripts, prompts and languages of its rows of a manifest."""
    digest = hashlib.sha256()
    for index in range(*part_bounds(len(manifest), num_parts, part)):
        row = manifest.row(index)
        digest.update(json.dumps([row.utt_id, row.transcript, row.prompt, row.lang]).encode())
    return f"sha256:{digest.hexdigest()}"


def read_parts(folder: str | Path, num_parts: int, manifest) -> tuple[dict, dict[str, Response]]:
    """The settings of all parts without the digests of their data, and the answers by utterance.

    Args:
        manifest: of the data directory that was answered.

    Raises:
        UserError: a part is missing, has answered other transcripts, or was made with other settings than the first.
    """
    settings, responses = None, {}
    for part in range(1, num_parts + 1):
        path = part_path(Path(folder), num_parts, part)
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.readlines()
        except FileNotFoundError:
            raise UserError(f"{path}: this part is missing; run respond again") from None
        try:
            own = json.loads(lines[0])
        except (IndexError, ValueError):
            raise UserError(f"{path}: does not begin with settings; run respond again") from None
        if own.pop("data", None) != digest_of_part(manifest, num_parts, part):
            raise UserError(
                f"{path}: answers to other transcripts than {manifest.path} has; run respond again"
            )
        if settings not in (None, own):
            raise UserError(f"{path}: made with other settings than part 1; run respond again")
        settings = own
        for number, line in enumerate(lines[1:], 2):
            response = parse_response(line, f"{path}:{number}")
            responses[response.utt_id] = response
    return settings, responses


def choose_instruction(utt_id: str, instructions: list[str], share: float, seed: int) -> str:
    """One of some instructions for about so great a share of utterances, else ""; the same on every machine."""
    draw = zlib.crc32(f"{seed} {utt_id}".encode())
    if not instructions or draw % 10_000 >= share * 10_000:
        return ""
    return instructions[draw // 10_000 % len(instructions)]


def write_response_dir(
    source: str | Path, out: str | Path, responses: dict[str, Response], about: dict
) -> dict:
    """Write a data directory with the answer as text, the transcript as text.src and the source's features.

    Args:
        source: data directory with transcripts and features.
        responses: of all its utterances; those with a fault are left out and counted.
        about: where the answers come from, for responses.json.

    Returns:
        about with the counts.

    Raises:
        UserError: an utterance without answer, or no answer that can be learnt from.
    """
    source, out = Path(source), Path(out)
    bad = read_table(source / "bad_utts") if (source / "bad_utts").exists() else {}
    faults: Counter[str] = Counter()
    kept = set()

    def utterances() -> Iterator[Utterance]:
        for utt in iter_data_dir(source):
            if utt.utt_id in bad:
                continue
            if utt.utt_id not in responses:
                raise UserError(f"{source}: {utt.utt_id} has no response; run respond again")
            response = responses[utt.utt_id]
            if response.fault:
                faults[response.fault] += 1
                continue
            kept.add(utt.utt_id)
            transcript = utt.text if utt.text_src is None else utt.text_src
            prompt = response.instruction if has_instructions else utt.prompt
            yield replace(utt, text=response.text, text_src=transcript, prompt=prompt)

    has_instructions = any(response.instruction for response in responses.values())
    num_utts = write_data_dir(out, utterances())
    for name in FEATURE_TABLES:
        with atomic_write(out / name) as file:
            for key, value in iter_table(source / name):
                if split_prefix(key)[1] in kept:
                    file.write(f"{key} {value}\n")
    if (source / "cmvn.ark").exists():
        with atomic_write(out / "cmvn.ark", "wb") as file:
            file.write((source / "cmvn.ark").read_bytes())
    about = about | {
        "source": os.path.abspath(source),
        "num_utts": num_utts,
        "left_out": dict(sorted(faults.items())),
        "num_instructed": sum(bool(responses[u].instruction) for u in kept),
    }
    with atomic_write(out / ABOUT) as file:
        json.dump(about, file, indent=1, ensure_ascii=False)
    return about
