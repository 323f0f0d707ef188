"""The speakers of the made-up corpora: espeak-ng voices with own speed, pitch and loudness."""

import ctypes
import random
from dataclasses import dataclass

import numpy as np
import soxr

from speechllm.errors import UserError

SAMPLE_RATE = 16_000
ACCENTS = {
    "en": ("en-us", "en-us", "en-gb-x-rp"),
    "es": ("es", "es-419"),  # in Latin America "casa" and "caza" sound the same
    "pt": ("pt-br",),
}
# intelligible variants of espeak-ng by set and gender; relatives share a set, so that the voices of
# dev and test are new ones
VARIANTS = {
    "train": {
        "M": "m1 m4 m5 m6 m7 Mike Alex max grandpa john Gene paul ed Nguyen Hugo michel robert rob "
        "Mario Storm iven3 victor",
        "F": "f1 f3 f4 anika steph steph2 Andrea Annie grandma",
    },
    "dev": {"M": "m8 Denis", "F": "belinda linda"},
    "test": {"M": "m2 m3 pablo", "F": "f2 f5 aunty"},
}  # fmt: skip
AUDIO_SYNCHRONOUS, POSITION_CHARACTER, CHARS_UTF8 = 2, 1, 1  # constants of espeak's speak_lib.h
RATE, PITCH, PITCH_RANGE = 1, 3, 4
RESPELLED = {"fr": {"fils": "fiss"}}  # what espeak-ng reads wrongly


@dataclass(frozen=True)
class Speaker:
    """One voice; rate in words per minute, pitch and its range from 0 to 100, gain in dB."""

    spk: int
    gender: str
    voice: str
    rate: float
    pitch: float
    pitch_range: float
    gain: float


def draw_speakers(lang: str, set_name: str, num: int, seed: int) -> list[Speaker]:
    """Women and men in turn, with numbers that no other set of the language has."""
    rng = random.Random(f"speakers {lang} {set_name} {seed}")
    block = ("train", "dev", "test").index(set_name)
    numbers = rng.sample(range(30 + block, 15_000, 3), num)
    accents = ACCENTS.get(lang, (lang,))
    pools = {gender: names.split() for gender, names in VARIANTS[set_name].items()}
    for pool in pools.values():
        rng.shuffle(pool)
    found = []
    for index, spk in enumerate(numbers):
        gender = "FM"[index % 2]
        pool = pools[gender]
        variant = pool[index // 2 % len(pool)]
        accent = accents[(index // 2) % len(accents)]
        found.append(
            Speaker(
                spk,
                gender,
                f"{accent}+{variant}",
                rate=rng.uniform(150, 185),
                pitch=rng.uniform(35, 65),
                pitch_range=rng.uniform(35, 65),
                gain=rng.uniform(-6, 0),
            )
        )
    return found


def respell(lang: str, text: str) -> str:
    """The text as espeak-ng has to see it."""
    words = RESPELLED.get(lang, {})
    return " ".join(words.get(word, word) for word in text.split())


class Synthesizer:
    """espeak-ng, for one speaker per process.

    The library keeps a little state from utterance to utterance that it cannot be made to forget.
    """

    def __init__(self):
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data_path = espeakng_loader.get_data_path().encode()
        self.rate = self.library.espeak_Initialize(AUDIO_SYNCHRONOUS, 0, data_path, 0)
        if self.rate <= 0:
            raise UserError(
                f"espeak-ng cannot start from {data_path.decode()}; install espeakng-loader again"
            )
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else the time seeds what is breathy
        ctypes.CDLL(None).srand(1)  # C's random numbers make the flutter
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self.callback = signature(self.collect)  # must live as long as the library may call it
        self.library.espeak_SetSynthCallback(self.callback)
        self.pieces: list[bytes] = []

    def collect(self, samples, num_samples, events) -> int:
        if samples and num_samples > 0:
            self.pieces.append(ctypes.string_at(samples, 2 * num_samples))
        return 0

    def speak(
        self, text: str, voice: str, rate: float, pitch: float, pitch_range: float
    ) -> np.ndarray:
        """int16 samples at ``self.rate`` Hz without the silence around them."""
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice '{voice}'; install espeakng-loader again")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (PITCH_RANGE, pitch_range)):
            self.library.espeak_SetParameter(parameter, round(value), 0)
        self.pieces = []
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, len(data), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
        samples = np.frombuffer(b"".join(self.pieces), dtype="<i2")
        loud = np.flatnonzero(np.abs(samples) > 100)
        if not loud.size:
            raise UserError(
                f"espeak-ng said nothing with voice '{voice}' for '{text}'; choose another voice"
            )
        return samples[loud[0] : loud[-1] + 1]


def utterance(
    synthesizer: Synthesizer, speaker: Speaker, text: str, rng: np.random.Generator
) -> np.ndarray:
    """One utterance as a speaker would say it today: int16 samples at 16 kHz.

    Speed, pitch and loudness vary a little, silence stands around it and faint noise under it.
    """
    samples = synthesizer.speak(
        text,
        speaker.voice,
        speaker.rate * rng.uniform(0.94, 1.06),
        speaker.pitch + rng.uniform(-4, 4),
        speaker.pitch_range + rng.uniform(-5, 5),
    )
    speech = soxr.resample(samples.astype(np.float32) / 32768, synthesizer.rate, SAMPLE_RATE)
    before, after = (int(SAMPLE_RATE * rng.uniform(0.05, 0.15)) for _ in range(2))
    speech = np.pad(speech, (before, after))
    level = np.sqrt(np.mean(speech**2))
    gain = (
        10 ** ((speaker.gain + rng.uniform(-2, 2) - 20) / 20) / level
    )  # speech of about -26 to -18 dB
    gain = min(gain, 0.95 / np.abs(speech).max())
    noise_level = gain * level * 10 ** (-rng.uniform(25, 45) / 20)
    noise = rng.standard_normal(len(speech)).astype(np.float32)
    hum = np.convolve(
        noise, np.full(8, 8**-0.5, dtype=np.float32), mode="same"
    )  # weaker towards high frequencies
    mixed = gain * speech + noise_level * (0.5 * noise + 0.8 * hum)
    return np.clip(np.round(mixed * 32768), -32768, 32767).astype(np.int16)
