"""Where a process of ours begins: `recharge`, and `python -m app`."""

from typing import NoReturn

from app.loading import loading


def main() -> NoReturn:
    """Run the command line."""
    with loading():
        from app.main import main as command_line  # noqa: PLC0415  # it loads nearly everything

    command_line()


if __name__ == "__main__":
    main()
