"""Text that others wrote, made fit for people to read. Pure."""


def printable(text: str) -> str:
    """The text with a mark for each character that nobody would see: what a provider or a producer wrote must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
