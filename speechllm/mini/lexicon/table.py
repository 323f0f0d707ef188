"""Word lists are written as small tables: a key, then its forms, one entry a line."""


def table(text: str) -> dict[str, list[str]]:
    """Lines of "key form form ..."; "-" is a form that is never needed."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {row[0]: row[1:] for row in rows}


def phrases(text: str) -> dict[str, str]:
    """Lines of "key: a whole phrase"."""
    rows = [line.split(":") for line in text.strip().splitlines()]
    return {key.strip(): phrase.strip() for key, phrase in rows}
