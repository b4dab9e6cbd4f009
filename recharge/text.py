"""Text for people: what others wrote, made fit to be read, and what we count. Pure."""


def printable(text: str) -> str:
    """The text with a mark for each character that nobody would see: what a provider or a producer wrote must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def counted(count: int, what: str) -> str:
    """So many of something whose plural ends in s: `1 record`, `2 records`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
