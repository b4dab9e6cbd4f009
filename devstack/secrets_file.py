"""Random passwords that are made once and kept in a folder, readable by its owner alone."""

import secrets
from pathlib import Path

_ENTROPY_BYTES = 24


def ensure_secret(folder: Path, name: str) -> str:
    """The secret of this name, made at the first call. It consists of hexadecimal digits, so it needs no quoting."""
    file = folder / name
    if file.exists():
        return file.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_hex(_ENTROPY_BYTES)
    making = folder / f".{name}.new"
    making.touch(mode=0o600)
    making.write_text(secret)
    making.rename(file)
    return secret
