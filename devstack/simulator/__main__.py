"""Starts the simulator: `python -m devstack.simulator --help`."""

import argparse
import asyncio
import signal
import ssl
import sys
from pathlib import Path

import uvloop

from devstack.simulator import faults
from devstack.simulator.book import Book
from devstack.simulator.control import ControlApi
from devstack.simulator.journal import Journal, JournalError
from devstack.simulator.producer import Producer
from devstack.simulator.provider import Provider
from devstack.simulator.server import RechargeApi
from devstack.simulator.wire import complain, listen, serve

JOURNAL_FILE_NAME = "journal.jsonl"


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line; a mistake ends the process with one line and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m devstack.simulator",
        description="A provider of recharges over HTTPS whose faults can be chosen. Ends by SIGTERM.",
        epilog=f"{faults.__doc__}\nSteps: {', '.join(faults.StepName)}. Scenarios: {', '.join(faults.Scenario)}.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of the provider's API (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port of the provider's API, HTTPS")
    parser.add_argument("--control-port", type=int, required=True, help="port of the control API, HTTP on 127.0.0.1")
    parser.add_argument("--folder", type=Path, required=True, help="where the journal of charges is kept")
    parser.add_argument("--cert", type=Path, required=True, help="certificate chain, PEM")
    parser.add_argument("--key", type=Path, required=True, help="the certificate's private key, PEM")
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument("--auth-token", help="the bearer token that callers must show")
    token.add_argument("--auth-token-file", type=Path, help="a file with that token")
    parser.add_argument("--producer-command", help="reads JSON records from stdin and puts them on the topic")
    return parser.parse_args(arguments)


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's TLS settings. Raises OSError where the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise OSError(f"--cert {certificate} and --key {key} cannot be used: {error}") from error
    return context


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. Raises JournalError and OSError where the start fails."""
    tls = server_tls(options.cert, options.key)
    auth_token = options.auth_token or options.auth_token_file.read_text(encoding="utf-8").strip()
    book = Book(Journal(options.folder / JOURNAL_FILE_NAME))
    provider = Provider(book)
    producer = Producer(options.producer_command)
    api = RechargeApi(book, provider, tls, auth_token, producer)
    control = ControlApi(book, provider, api, producer)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with listen(options.host, options.port) as listener, listen("127.0.0.1", options.control_port) as control_listener:
        provider.resume()
        servers = [
            asyncio.create_task(serve(listener, api.handle)),
            asyncio.create_task(serve(control_listener, control.handle)),
        ]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()
        # Connections under way are cut: what they had done stands in the journal already.
        for server in servers:
            server.cancel()


def main() -> int:
    """Run the simulator; its exit status."""
    options = parse_arguments(sys.argv[1:])
    try:
        uvloop.run(run(options))
    except (JournalError, OSError) as error:
        complain(f"cannot start: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
