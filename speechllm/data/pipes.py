"""Commands in the wav.scp of Kaldi recipes that only read one audio file: the file instead, without running them."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from speechllm.data.data_dir import plain_path
from speechllm.errors import UserError

SHELL = "();<>|&"  # what a shell acts on outside quotes; on "$" and "`" it does inside too
OUTPUTS = ("-", "pipe:", "pipe:1")
WAV = ("wav", "wavpcm", "rif")
FORMATS = (*WAV, "aif", "aiff", "au", "flac", "mp3", "nist", "ogg", "opus", "sph", "vorbis")
CODECS = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")
# What options say that have no list of values; FIRST is the first channel, which is the same if there is no other.
FILE, RATE, CHANNELS, FIRST, ANY = "file", "rate", "channels", "first", "any"


class Change(Exception):
    """Why a command is not the same as the file that it reads."""


@dataclass(frozen=True)
class Program:
    """What a program may be told so that what it writes is the audio of its file.

    Rounding to 16 bits or more counts as no change: features are computed from such samples.

    Args:
        flags: options without a value.
        options: with the values that change nothing, of RATE and CHANNELS those that the file has; -f and -t of the
            output come last.
        needs: groups of flags, one of each of which must be there.
        has_output: the standard output is named after the file.
    """

    flags: str = ""
    options: dict[str, tuple[str, ...] | str] = field(default_factory=dict)
    needs: tuple[tuple[str, str], ...] = ()
    has_output: bool = False


PROGRAMS = {
    "cat": Program(),
    "flac": Program(
        "-c -d -s --decode --silent --stdout --totally-silent",
        needs=(("-d", "--decode"), ("-c", "--stdout")),
    ),
    "sph2pipe": Program("-p", {"-f": WAV, "-c": FIRST}),
    "sox": Program(
        "-D -R -S -V -V0 -V1 -V2 -V3 -q -s --no-dither --no-show-progress",
        {"-t": FORMATS, "--type": FORMATS, "-r": RATE, "--rate": RATE}
        | {"-c": CHANNELS, "--channels": CHANNELS}
        | dict.fromkeys(("-b", "--bits"), ("16", "24", "32"))
        | dict.fromkeys(("-e", "--encoding"), ("signed", "signed-integer")),
        has_output=True,
    ),
    "ffmpeg": Program(
        "-hide_banner -nostats -nostdin -vn -y",
        {"-i": FILE, "-f": FORMATS, "-ar": RATE, "-ac": CHANNELS}
        | dict.fromkeys(("-acodec", "-c:a", "-codec:a"), CODECS)
        | dict.fromkeys(("-ab", "-b:a", "-loglevel", "-threads", "-v"), ANY),  # no matter for wav
        has_output=True,
    ),
}


@dataclass
class Source:
    """What a command reads: ``places`` are its file and its output; the file has these rates and channels."""

    places: list[str] = field(default_factory=list)
    rates: list[int] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)

    def take(self, option: str, value: str, known: tuple[str, ...] | str):
        """Note what an option says; raise Change if it is none of the values that are known."""
        if known == FILE:
            self.places.append(value)
        elif known == RATE:
            self.rates.append(number(option, value))
        elif known == CHANNELS or (known == FIRST and value == "1"):
            self.channels.append(number(option, value))
        elif known == FIRST or (known != ANY and value not in known):
            raise Change(f"{option} {value}")
        elif known in (WAV, FORMATS):
            self.formats.append(value)


def words_of(command: str) -> list[str]:
    """The words of a command, as a shell would part them.

    Raises:
        Change: the shell has more to do than to part words.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=SHELL)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:  # a quote without its end
        raise Change(str(error).lower()) from None
    for word in words:
        if set(word) <= set(SHELL) or set(word) & set("$`"):
            raise Change(f"{word} needs a shell")
    return words


def parse(command: str) -> Source:
    """What a command reads.

    Raises:
        Change: another program, or one that makes something else of its file.
    """
    name, *words = words_of(command) or [""]
    name = Path(name).name
    if name not in PROGRAMS:
        raise Change(f"{name or 'nothing'} is none of {', '.join(PROGRAMS)}")
    program, source, seen = PROGRAMS[name], Source(), set()
    if name == "flac":  # -cds is -c -d -s
        words = [part for word in words for part in parts_of_group(word)]
    while words:
        word = words.pop(0)
        if word in program.flags.split():
            seen.add(word)
        elif word in program.options:
            source.take(word, words.pop(0) if words else "", program.options[word])
        elif word.startswith("-") and word not in OUTPUTS:
            raise Change(word)
        else:
            source.places.append(word)
    if missing := [group for group in program.needs if seen.isdisjoint(group)]:
        raise Change(f"{name} without {missing[0][0]}")
    if source.formats and source.formats[-1] not in WAV:
        raise Change(f"it writes {source.formats[-1]}")
    check_places(name, source.places, program.has_output)
    return source


def parts_of_group(word: str) -> list[str]:
    return [f"-{c}" for c in word[1:]] if word.startswith("-") and word[1:].isalpha() else [word]


def number(option: str, value: str) -> int:
    """A rate or a number of channels, as "16000", "16k" or "1"."""
    try:
        return round(1000 * float(value[:-1])) if value.endswith("k") else int(value)
    except (OverflowError, ValueError):
        raise Change(f"{option} {value}") from None


def check_places(name: str, places: list[str], has_output: bool):
    """Raise Change unless there is one file, and behind it the standard output where that is named."""
    if not places or places[0] in OUTPUTS:
        raise Change(f"{name} without a file")
    if has_output and len(places) == 1:
        raise Change(f"{name} without '-' for its output")
    more = places[2:] if has_output and places[1] in OUTPUTS else places[1:]
    if more:
        raise Change(" ".join(more))


def check_same(path: str, source: Source):
    """Raise Change unless libsndfile reads a file by itself, with the rate and channels of the command."""
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, TypeError):  # the latter of files called .raw
        raise Change(f"{path} by itself is no audio that is known here") from None
    if other := [rate for rate in source.rates if rate != info.samplerate]:
        raise Change(f"{path} has {info.samplerate:,} Hz, not {other[0]:,}")
    if other := [channels for channels in source.channels if channels != info.channels]:
        raise Change(f"{path} has {info.channels} channels, not {other[0]}")


def audio_path(table: Path, key: str, value: str, find: Callable[[str], str]) -> str:
    """The audio file of a line of wav.scp, which may be a command that only reads it, as ``flac -c -d -s FILE |``.

    Args:
        find: from the path in the command to one that can be opened.

    Raises:
        UserError: any other command.
    """
    if not value.endswith("|"):
        return plain_path(table, key, value)
    try:
        source = parse(value[:-1])
        path = find(source.places[0])
        check_same(path, source)
    except Change as change:
        raise UserError(
            f"{table}: {key}: {value!r}: pipes are not run, and its file is not the same ({change}); "
            "convert the audio to files, or name the file where that does as well"
        ) from None
    return path
