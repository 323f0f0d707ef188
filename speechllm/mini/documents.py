"""What the small LLM reads: sentences, repeated, translated, and repaired from damaged copies.

A real LLM can repeat, translate and repair what stands before; recognition with a frozen LLM lives on that
(arXiv:2307.11795: "the problem collapses to a repetition task"). So this one reads more than sentences.
"""

import random
from collections.abc import Callable, Iterator, Sequence

UNK_ID, BOS_ID, EOS_ID = SPECIAL_IDS = range(3)  # the first of the small LLM's tokenizer
TRANSLATE = "translate to english:"


def corrupt(ids: list[int], vocab_size: int, rng: random.Random) -> list[int]:
    """Ids with some tokens left out, some replaced and some said twice."""
    out = []
    for token in ids:
        draw = rng.random()
        if draw < 0.05:
            continue
        out.append(rng.randrange(len(SPECIAL_IDS), vocab_size) if draw < 0.10 else token)
        if draw > 0.95:
            out.append(token)
    return out


def misspell(text: str, rng: random.Random) -> str:
    """A text with some letters and spaces left out, some replaced by others of its own and some said twice."""
    out = []
    for letter in text:
        draw = rng.random()
        if draw < 0.02:
            continue
        out.append(rng.choice(text) if draw < 0.03 else letter)
        if draw > 0.99:
            out.append(letter)
    return " ".join("".join(out).split())


def stretch(ids: list[int], filler: int, rng: random.Random) -> list[int]:
    """Ids that last for one or two positions each, with up to four of a filler between them, as frames of speech."""
    out = []
    for token in ids:
        out += [token] * rng.choice((1, 1, 1, 2, 2))
        out += [filler] * rng.choice((0, 0, 0, 0, 0, 1, 1, 1, 2, 4))
    return out


def translation(
    text: str, ids: list[int], english: list[int], encode, rng: random.Random, space_id: int
) -> tuple[list[int], list[int]]:
    """A source and its translation: the source as it is or misspelt, drawn out or not; at times no source at all."""
    draw = rng.random()
    if draw < 0.1:
        return [], english
    heard = encode(misspell(text, rng)) if draw < 0.5 else ids
    return stretch(heard, space_id, rng) if rng.random() < 0.5 else heard, english


def documents(
    sentences: Sequence[tuple[str, str]],
    encode: Callable[[str], list[int]],
    vocab_size: int,
    rng: random.Random,
    space_id: int,
    asked: Sequence[tuple[str, str]] = (),
    instruction: str = TRANSLATE,
    translated_share: float = 0.0,
) -> Iterator[tuple[list[int], int]]:
    """Endless training documents, as ids and the position from which they are worth predicting.

    Most of them repeat a sentence, ``sentence <s> sentence </s>``, which is the layout of recognition with the
    audio in place of the first sentence: as it is, in a random order, from a copy that is damaged or misspelt, and, as
    frames of speech say it, drawn out with spaces between its tokens. The others are sentences alone, and translated
    where there is a translation; and questions about a statement before them, with their answers.

    Args:
        sentences: pairs of a text and its English translation ("" where there is none).
        encode: text to token ids, of which there are ``vocab_size``.
        rng: what it draws from, the order of the sentences too.
        space_id: token that is a bare space.
        asked: pairs of a statement with a question, and the answer.
        instruction: what stands before a text that is to be translated.
        translated_share: of the documents: translations beyond those few, see ``translation``.
    """
    encoded = [
        (text, encode(text), encode(english) if english else None) for text, english in sentences
    ]
    instruction = encode(instruction)
    asked = [(encode(question), encode(answer)) for question, answer in asked]
    while True:
        rng.shuffle(encoded)
        for text, ids, english in encoded:
            if translated_share and english is not None and rng.random() < translated_share:
                source, target = translation(text, ids, english, encode, rng, space_id)
                source = [*instruction, *source] if source else []
                yield [*source, BOS_ID, *target, EOS_ID], len(source)
                continue
            kind = rng.random()
            if asked and kind < 0.04:
                question, answer = rng.choice(asked)
                yield [*question, BOS_ID, *answer, EOS_ID], len(question)
            elif kind < 0.22:
                yield [*ids, BOS_ID, *ids, EOS_ID], 0
            elif kind < 0.28:
                yield [BOS_ID, *ids, EOS_ID], 0
            elif kind < 0.36:
                shuffled = rng.sample(ids, len(ids))
                yield [*shuffled, BOS_ID, *shuffled, EOS_ID], len(shuffled)
            elif kind < 0.42 or (english is None and kind < 0.50):
                source = corrupt(ids, vocab_size, rng)
                if rng.random() < 0.5:
                    source = encode(misspell(text, rng))
                yield [*source, BOS_ID, *ids, EOS_ID], len(source)
            elif kind < 0.50:
                yield [*instruction, *ids, BOS_ID, *english, EOS_ID], len(instruction) + len(ids)
            else:
                draw = rng.random()
                wanted = rng.sample(ids, len(ids)) if draw < 0.2 else ids
                heard = encode(misspell(text, rng)) if draw > 0.6 else wanted
                source = stretch(heard, space_id, rng)
                yield [*source, BOS_ID, *wanted, EOS_ID], len(source)
