"""The provider's client: one call, and what is known about it afterwards.

`send` and `look_up` never raise for anything that the network or the answer does. What they say rests on two things alone:
whether the kernel ever had a byte of the request (the Transmission knows), and the answer that arrived whole (the profile
reads it). Whatever lies between the two is `unknown`.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO
from urllib.parse import urlsplit

import httpx

from activities import transport
from activities.profiles.loading import load
from activities.profiles.messages import Answer, Call, LookupReading, Received, RecordUnfitError, Request
from activities.profiles.reading import fit_reference, one_line
from activities.tls import Tls
from activities.transmission import Transmission, TransportError, boottime_s
from recharge import limits
from recharge.outcome import LookupAnswer, Outcome
from recharge.problem import WrongSettings
from recharge.settings import ProviderSettings, is_loopback

__all__ = ["Answer", "Call", "LookupReading", "Provider", "ProviderProblem", "boottime_s", "fetch_statement"]

_EXTENSION = "recharge.transmission"
_URLS_MAX = 16
"""How many URLs are kept taken apart. Recharges go to one, look-ups each to one of their own."""


class ProviderProblem(WrongSettings, ValueError):
    """What in the provider's settings cannot be used; the text names the setting."""


class Provider:
    """The provider, as its settings and its profile describe it. One for a process.

    Raises:
        ProviderProblem: a certificate, a URL, a header or the profile cannot be used; the text names the setting.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        try:
            self._profile = load(settings)
            tls = Tls.load(settings.ca_file, settings.cert_file, settings.key_file)
        except ValueError as error:
            raise _problem(str(error)) from error
        self._slots = asyncio.Semaphore(limits.CALLS_IN_FLIGHT_MAX)
        # Without a client around it: neither a proxy nor a password file of the environment comes between, no redirect is a new request of
        # ours, and nothing that one answer sets changes the next call.
        self._transport = _Transport(tls)
        self._check_settings()

    async def send(self, call: Call) -> Answer:
        """Carry out one recharge call, by its deadline, and tell how it ended. Never raises but for its own cancellation."""
        with Transmission(call.deadline_boottime_s) as transmission:
            try:
                request = self._profile.request(self._settings, call)
            except RecordUnfitError as error:
                return _unfit(call, error)
            except Exception as error:  # noqa: BLE001  # somebody's own code, which may fail in any way
                return Answer(Outcome.NOT_SENT, one_line(f"not sent: {_text(error)}"))
            try:
                received = await self._exchange(request, transmission)
                answer = self._profile.read_answer(
                    self._settings, received, after_unknown=call.after_unknown, now_utc=datetime.now(UTC)
                )
                return _fit_answer(answer, received)
            except Exception as error:  # noqa: BLE001  # whatever it was, only whether a byte left decides what it means
                if transmission.handed_over:
                    return Answer(Outcome.UNKNOWN, one_line(f"sent, but no whole answer came: {_text(error)}"))
                return Answer(Outcome.NOT_SENT, one_line(f"not sent: {_text(error)}"))

    async def look_up(self, reference: str) -> LookupReading:
        """Ask what became of a reference. A question that finds no answer is `unreadable`, and decides nothing."""
        with Transmission(boottime_s() + limits.LOOKUP_TIMEOUT_S) as transmission:
            try:
                request = self._profile.lookup_request(self._settings, reference)
                received = await self._exchange(request, transmission)
                return _fit_reading(self._profile.read_lookup(self._settings, received, reference), received)
            except Exception as error:  # noqa: BLE001  # a failed question is asked again
                return LookupReading(LookupAnswer.UNREADABLE, one_line(f"no whole answer came: {_text(error)}"))

    async def _exchange(self, request: Request, transmission: Transmission) -> Received:
        received: Received | None = None
        try:
            async with asyncio.timeout(transmission.left_s()), self._slots:
                response = await self._transport.handle_async_request(_build(request, transmission))
                try:
                    body = await _read(response)
                    _refuse_an_end_that_nobody_told(response, body)
                    received = Received(response.status_code, dict(response.headers.items()), body)
                    transmission.complete = True
                finally:
                    # One that is not read to its end, such as a too long one, keeps its connection otherwise until somebody collects it.
                    await response.aclose()
        except TimeoutError:
            # The time may end while the connection is tidied up. An answer that is here is an answer.
            if received is None:
                raise
        return received

    def _check_settings(self) -> None:
        """Build both requests once, so that a setting that fits no request is refused at start and not at the first record."""
        call = Call("reference", b"{}", None, 0.0, after_unknown=False)
        transmission = Transmission(0.0)
        try:
            _build(self._profile.request(self._settings, call), transmission)
            if self._settings.lookup_url is not None:
                _build(self._profile.lookup_request(self._settings, call.reference), transmission)
        except Exception as error:
            names = "RECHARGE_PROVIDER__URL, __LOOKUP_URL, __AUTH_TOKEN, __PROFILE"
            raise _problem(f"{names}: fit no request ({error})") from error


async def fetch_statement(settings: ProviderSettings, url: str, into: BinaryIO) -> None:
    """Fetch the provider's statement of charges into a file, as it comes.

    It is a read that moves no money, so it goes the usual way of the HTTP client. Our token is shown to the provider's own address alone.

    Raises:
        ProviderProblem: the URL or a certificate cannot be used, or no whole statement came.
    """
    is_own = _is_own_address(settings, url)
    headers = {"Accept": "text/csv", "Accept-Encoding": "identity"}
    if settings.auth_token is not None and is_own:
        headers["Authorization"] = f"Bearer {settings.auth_token.get_secret_value()}"
    where = f"the statement at {url.partition('?')[0]}"
    try:
        tls = Tls.load(settings.ca_file, settings.cert_file, settings.key_file)
        idle = httpx.Timeout(limits.STATEMENT_IDLE_S)
        async with asyncio.timeout(limits.STATEMENT_TIMEOUT_S):
            async with (
                httpx.AsyncClient(verify=tls.context, trust_env=False, follow_redirects=False, timeout=idle) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                await _copy(answer, into, where)
    except ProviderProblem:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise _problem(f"{where} did not come whole: {_text(error)}") from error
    except ValueError as error:
        raise _problem(str(error)) from error


async def _copy(answer: httpx.Response, into: BinaryIO, where: str) -> None:
    if answer.status_code != httpx.codes.OK:
        raise ProviderProblem(f"{where} was answered {answer.status_code} {answer.reason_phrase}")
    size_bytes = 0
    async for chunk in answer.aiter_raw():
        size_bytes += len(chunk)
        if size_bytes > limits.STATEMENT_BYTES_MAX:
            raise ProviderProblem(f"{where} is longer than {limits.STATEMENT_BYTES_MAX} bytes")
        into.write(chunk)


def _is_own_address(settings: ProviderSettings, url: str) -> bool:
    """Whether a URL is at the provider's own address, where our token belongs."""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        has_user = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise _problem(f"the statement's URL cannot be read: {error}") from error
    if not is_safe or not parts.hostname:
        raise _problem("the statement's URL must be https://HOST/PATH; http is allowed on loopback only")
    if has_user:
        raise _problem("the statement's URL must not hold a user or a password; use RECHARGE_PROVIDER__AUTH_TOKEN")
    return (parts.scheme, parts.netloc) == urlsplit(settings.url)[:2]


def _build(request: Request, transmission: Transmission) -> httpx.Request:
    return httpx.Request(
        request.method,
        _url(request.url),
        headers=request.headers,
        content=None if request.method == "GET" else request.body,
        extensions={_EXTENSION: transmission},
    )


@lru_cache(maxsize=_URLS_MAX)
def _url(text: str) -> httpx.URL:
    """A URL taken apart, which is the same for every recharge."""
    return httpx.URL(text)


class _Transport(httpx.AsyncBaseTransport):
    """Sends each request over a connection of its own, which belongs to the call's Transmission."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        head = transport.Head(
            request.method.encode("ascii"), url.raw_scheme, url.raw_host, url.port, url.raw_path, request.headers.raw
        )
        stream = request.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("the request's body must be bytes")
        answer = await transport.exchange(request.extensions[_EXTENSION], self._tls, head, stream)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.aiter_stream()), extensions={})


class _Body(httpx.AsyncByteStream):
    """The answer's body as it comes. The connection is closed by the call's Transmission."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limits.ANSWER_BYTES_MAX:
            raise TransportError(f"the answer ({response.status_code}) is longer than {limits.ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _refuse_an_end_that_nobody_told(response: httpx.Response, body: bytes) -> None:
    """An empty body counts as charged, so something has to say that it is empty: not only that the connection came to its end."""
    framed = {"content-length", "transfer-encoding"} & set(response.headers)
    if response.is_success and not body and not framed and response.status_code != httpx.codes.NO_CONTENT:
        raise TransportError(
            f"an empty answer ({response.status_code}) of no told length, which may have been cut short"
        )


def _problem(text: str) -> ProviderProblem:
    """A problem of the settings in one line. Nothing is masked, since a name or a port may look like a number."""
    return ProviderProblem(" ".join(text.split()))


def _text(error: Exception) -> str:
    if isinstance(error, TransportError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the call's time is over"
    return f"{error} ({type(error).__name__})"


def _unfit(call: Call, error: RecordUnfitError) -> Answer:
    """Of this attempt nothing left. Where an earlier one may have been carried out, that says nothing about the recharge."""
    said = one_line(f"not sent, since the record does not fit the provider: {error}")
    return Answer(Outcome.NOT_SENT if call.after_unknown else Outcome.REFUSED, said, reason=said)


def _fit_answer(answer: object, received: Received) -> Answer:
    """A profile's answer, in a form that can be stored, and without the one claim that no answer can make: that nothing was sent."""
    outcome = answer.outcome if isinstance(answer, Answer) else None
    if not isinstance(answer, Answer) or outcome not in set(Outcome) - {Outcome.NOT_SENT}:
        said = f"the profile could not read the answer ({received.status})"
        return Answer(Outcome.UNKNOWN, said, received.status)
    wait_s = answer.retry_after_s
    return replace(
        answer,
        outcome=Outcome(answer.outcome),
        # A profile's own number, which may be none.
        retry_after_s=max(0.0, min(limits.RETRY_AFTER_S_MAX, wait_s)) if wait_s is not None and wait_s >= 0 else None,
        said=one_line(answer.said),
        status=received.status,
        reason=None if answer.reason is None else one_line(answer.reason),
        provider_reference=None if answer.provider_reference is None else fit_reference(answer.provider_reference),
    )


def _fit_reading(found: object, received: Received) -> LookupReading:
    if not isinstance(found, LookupReading):
        said = f"the profile could not read the answer ({received.status})"
        return LookupReading(LookupAnswer.UNREADABLE, said, received.status)
    reference = None if found.provider_reference is None else fit_reference(found.provider_reference)
    return replace(found, said=one_line(found.said), status=received.status, provider_reference=reference)
