"""Dialogues of text and audio turns: a file of JSON lines, and their way into a prompt.

A line is one dialogue that waits for an answer::

    {"id": "d1", "turns": [{"role": "user", "audio": "a.flac", "transcript": "the baker sells bread"},
                           {"role": "assistant", "text": "i see"},
                           {"role": "user", "text": "who sells bread"}], "answer": "the baker"}

A turn has a role (system, user, assistant) and either ``text``, or ``audio`` (a file, beside this one if the path is
relative) with its ``transcript`` where that is known, or ``parts``, a list of these in their order. ``answer``,
``aliases`` (other right answers) and ``kind`` may be missing.
"""

import difflib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechllm.errors import UserError

ROLES = ("system", "user", "assistant")
KEYS = ("id", "turns", "answer", "aliases", "kind")
TURN_KEYS = ("role", "parts", "text", "audio", "transcript")
MARK = "\ue000{}\ue001"  # stands for an audio part while a chat template lays out the text
MARKS = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class Part:
    """Text, or audio with its transcript ("" where that is not known)."""

    text: str = ""
    audio: str = ""
    transcript: str = ""


@dataclass(frozen=True)
class Turn:
    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Dialogue:
    """Turns of which the last is the user's; ``where`` is its file and line, for messages."""

    dialogue_id: str
    turns: tuple[Turn, ...]
    answer: str = ""
    aliases: tuple[str, ...] = ()
    kind: str = ""
    where: str = field(default="", compare=False)

    @property
    def audio_parts(self) -> list[Part]:
        return [part for turn in self.turns for part in turn.parts if part.audio]


def read_dialogues(path: str | Path) -> list[Dialogue]:
    """All dialogues of a file.

    Raises:
        UserError: naming file, line and turn: not JSON, an unknown key or role, an empty turn, audio that is missing or
            not the user's, an id twice, a dialogue that does not wait for an answer.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()  # unlike splitlines, at ends of lines alone
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it should hold dialogues as JSON lines") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name the JSON lines file in it") from None
    except NotADirectoryError:
        raise UserError(f"{path}: no such file; a part of this path is no folder") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; convert the file") from None
    found: dict[str, Dialogue] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            dialogue = parse_dialogue(line, f"{path}:{number}", path.parent)
        except RecursionError:
            raise UserError(
                f"{path}:{number}: brackets in brackets without end; write one dialogue per line"
            ) from None
        if dialogue.dialogue_id in found:
            raise UserError(f"{path}:{number}: id {dialogue.dialogue_id} a second time; rename one")
        found[dialogue.dialogue_id] = dialogue
    if not found:
        raise UserError(f"{path}: no dialogue in it; write one JSON object per line")
    return list(found.values())


def parse_dialogue(line: str, where: str, folder: Path) -> Dialogue:
    """The dialogue of one line; relative audio paths start at ``folder``."""
    try:
        values = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}: not JSON ({error.msg} at column {error.colno}); write one object per line"
        ) from None
    check_keys(values, KEYS, where, "a dialogue")
    dialogue_id, turns, aliases = values.get("id"), values.get("turns"), values.get("aliases", [])
    if not isinstance(dialogue_id, str) or not dialogue_id or len(dialogue_id.split()) != 1:
        raise UserError(f"{where}: id should be a word without spaces, got {dialogue_id!r}")
    if not isinstance(turns, list) or not turns:
        raise UserError(f"{where}: turns should be a list of turns, got {turns!r}")
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise UserError(f"{where}: aliases should be a list of texts, got {aliases!r}")
    for key in ("answer", "kind"):
        if not isinstance(values.get(key, ""), str):
            raise UserError(f"{where}: {key} should be a text, got {values[key]!r}")
    parsed = tuple(
        parse_turn(turn, f"{where}: turn {number}", folder) for number, turn in enumerate(turns, 1)
    )
    if parsed[-1].role != "user":
        raise UserError(
            f"{where}: turn {len(parsed)} is the {parsed[-1].role}'s; end with a user's"
        )
    answer, kind = values.get("answer", ""), values.get("kind", "")
    return Dialogue(dialogue_id, parsed, answer, tuple(aliases), kind, where)


def check_keys(values, known: tuple[str, ...], where: str, what: str):
    if not isinstance(values, dict):
        raise UserError(f"{where}: {what} should be an object, got {values!r}")
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key!r}{hint}")


def parse_turn(values, where: str, folder: Path) -> Turn:
    check_keys(values, TURN_KEYS, where, "a turn")
    role = values.get("role")
    if role not in ROLES:
        raise UserError(f"{where}: role {role!r} is none of {', '.join(ROLES)}")
    parts = values.get("parts")
    if parts is None:
        parts = [{key: value for key, value in values.items() if key != "role"}]
    elif not isinstance(parts, list) or len(values) != 2:
        raise UserError(f"{where}: parts should be a list, and stand without text and audio")
    parsed = tuple(parse_part(part, where, folder) for part in parts)
    if not parsed or not any(part.text or part.audio for part in parsed):
        raise UserError(f"{where}: empty turn; give it text or audio")
    if role != "user" and any(part.audio for part in parsed):
        raise UserError(f"{where}: audio in a turn of the {role}; only users speak, write its text")
    return Turn(role, parsed)


def parse_part(values, where: str, folder: Path) -> Part:
    check_keys(values, TURN_KEYS[2:], where, "a part")
    if not all(isinstance(value, str) for value in values.values()):
        raise UserError(f"{where}: text, audio and transcript should be texts, got {values!r}")
    text, audio = " ".join(values.get("text", "").split()), values.get("audio", "")
    transcript = " ".join(values.get("transcript", "").split())
    if text and audio:
        raise UserError(f"{where}: text and audio in one; put them into parts, in their order")
    if transcript and not audio:
        raise UserError(f"{where}: a transcript without audio; name the audio, or call it text")
    if audio:
        audio = os.path.join(folder, audio)
        if not os.path.isfile(audio):
            raise UserError(f"{where}: no audio file {audio}; correct the path")
    return Part(text, audio, transcript)


def as_json(dialogue: Dialogue) -> str:
    """The line of a dialogue, with absolute audio paths."""
    turns = []
    for turn in dialogue.turns:
        parts = [
            {"audio": os.path.abspath(part.audio), "transcript": part.transcript}
            if part.audio
            else {"text": part.text}
            for part in turn.parts
        ]
        body = parts[0] if len(parts) == 1 else {"parts": parts}
        turns.append({"role": turn.role, **body})
    values = {"id": dialogue.dialogue_id, "kind": dialogue.kind, "turns": turns}
    values |= {"answer": dialogue.answer, "aliases": list(dialogue.aliases)}
    return json.dumps(values, ensure_ascii=False) + "\n"


def as_text(dialogue: Dialogue, texts: list[str] | None = None) -> Dialogue:
    """The dialogue with text in place of audio: its transcripts, or one of ``texts`` per audio part.

    Raises:
        UserError: audio without a transcript.
    """
    texts_left = iter(texts) if texts is not None else None
    turns = []
    for turn in dialogue.turns:
        parts = []
        for part in turn.parts:
            if part.audio:
                text = part.transcript if texts_left is None else next(texts_left)
                if not text and texts_left is None:
                    raise UserError(
                        f"{dialogue.where}: {part.audio} has no transcript to stand in its "
                        "place; add it"
                    )
                part = Part(text=text)
            parts.append(part)
        turns.append(Turn(turn.role, tuple(parts)))
    return replace(dialogue, turns=tuple(turns))


def with_spoken(dialogue: Dialogue, spoken: str) -> Dialogue:
    """The dialogue with audio in some user turns only: "all", the "first" or the "last"; else their transcripts."""
    if spoken == "all":
        return dialogue
    users = [number for number, turn in enumerate(dialogue.turns) if turn.role == "user"]
    kept = users[0] if spoken == "first" else users[-1]
    text = as_text(dialogue)
    turns = [dialogue.turns[n] if n == kept else turn for n, turn in enumerate(text.turns)]
    return replace(dialogue, turns=tuple(turns))


def without_history(dialogue: Dialogue) -> Dialogue:
    """The last turn alone."""
    return replace(dialogue, turns=dialogue.turns[-1:])


def prompt_parts(
    turns: tuple[Turn, ...],
    render: Callable[[list[dict]], str],
    encode: Callable[[str], list[int]],
    encode_after: Callable[[str], list[int]],
) -> list:
    """The parts of a prompt, as models/join.py takes them: LongTensors of token ids, and 0, 1, ... for the audio.

    A chat template lays out the whole dialogue with marks where there is audio; what stands between marks is tokenised
    as one text. So a dialogue without audio has exactly the tokens that the template gives it. A space before an audio
    part is left out: words bring their own.

    Args:
        render: messages {"role", "content"} to the text of a prompt that waits for the assistant.
        encode: a text with special tokens in it to ids.
        encode_after: the same for a text that goes on after audio.

    Raises:
        UserError: the template loses an audio part or repeats it.
    """
    import torch  # slow to import, and only needed here

    messages, num_audio = [], 0
    for turn in turns:
        contents = []
        for part in turn.parts:
            contents.append(MARK.format(num_audio) if part.audio else part.text)
            num_audio += bool(part.audio)
        messages.append({"role": turn.role, "content": " ".join(filter(None, contents))})
    pieces = MARKS.split(render(messages))
    if pieces[1::2] != [str(n) for n in range(num_audio)]:
        raise UserError(
            f"the LLM's chat template leaves {len(pieces) // 2} of {num_audio} audio parts where they were; "
            "use an LLM whose template keeps what users say"
        )
    parts = []
    for number, piece in enumerate(pieces):
        if number % 2:
            parts.append(int(piece))
            continue
        text = piece.rstrip(" ") if number + 1 < len(pieces) else piece
        ids = (encode_after if number else encode)(text) if text else []
        if ids:
            parts.append(torch.tensor(ids))
    return parts


def check_context(
    prompt_len: int,
    max_tokens: int,
    limit: int | None,
    where: str,
    way_out: str = "shorten the history",
):
    """Raise UserError if a prompt with its answer is longer than an LLM's context of ``limit`` positions."""
    if limit is not None and prompt_len + max_tokens > limit:
        raise UserError(
            f"{where}: the prompt takes {prompt_len:,} positions and the answer up to {max_tokens:,}, "
            f"the LLM's context has {limit:,}; {way_out}, or lower --max_tokens"
        )
