"""`python -m devstack.without NAME COMMAND…`: run `recharge COMMAND…` in this process without one safeguard."""

import importlib
import sys

from devstack.errors import DevstackError
from devstack.without.safeguard import taken_away
from devstack.without.safeguards import by_name


def main() -> None:
    """Take the safeguard away and run the command; the exit status is the command's, or 2 for a name that there is not."""
    if len(sys.argv) < 3:  # noqa: PLR2004  # a name and a command
        sys.exit("usage: python -m devstack.without NAME COMMAND…")
    _, name, *command = sys.argv
    try:
        with taken_away(by_name(name)):
            sys.argv = ["recharge", *command]
            importlib.import_module("app.__main__").main()
    except DevstackError as error:
        sys.stderr.write(f"without: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
