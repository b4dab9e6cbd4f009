"""What can be wrong with the connection to Temporal, in plain words, from the words of the SDK's native part."""

import re

_UNTRUSTED = re.compile(r"InvalidCertificate\((?P<why>\w+)")
_REFUSED = re.compile(r'code: (?:Unauthenticated|PermissionDenied), message: "(?P<said>[^"]*)"')
_NO_TLS = "InvalidContentType"
_ALERT = re.compile(r"AlertReceived\((?P<why>\w+)\)|received fatal alert: (?P<said>\w+)")
_BROKEN_AFTER_THE_HANDSHAKE = ("UnexpectedEof", "BrokenPipe", "ConnectionReset", "connection closed")


def final_problem(where: str, error: str) -> str | None:
    """Why a connection cannot be made, as one line; None where waiting may help."""
    if (untrusted := _UNTRUSTED.search(error)) is not None:
        return (
            f"{where} has a certificate that is not trusted ({untrusted['why']}); "
            "check TEMPORAL_ADDRESS, TEMPORAL_TLS_SERVER_CA_CERT_PATH and TEMPORAL_TLS_SERVER_NAME"
        )
    if (refused := _REFUSED.search(error)) is not None:
        return refused_us(where, refused["said"])
    if _NO_TLS in error:
        return f"{where} does not speak TLS, which TEMPORAL_TLS_… or TEMPORAL_API_KEY asks for; nothing was sent to it"
    if (alert := _ALERT.search(error)) is not None:
        return (
            f"{where} refused the TLS connection ({alert['why'] or alert['said']}); "
            "check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"
        )
    return None


def refused_us(where: str, said: str) -> str:
    """The server knows us and says no, or does not know us."""
    return f"{where} refused us: {said}; check TEMPORAL_NAMESPACE and TEMPORAL_API_KEY"


def why_waiting(error: str, *, encrypted: bool) -> str:
    """What is waited for, as far as it can be told. A server that wants another certificate may only close the connection."""
    if not any(word in error for word in _BROKEN_AFTER_THE_HANDSHAKE):
        return error
    if encrypted:
        return (
            "it closed the connection after the TLS handshake: does it want a client certificate, or another one "
            "(TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH)?"
        )
    return "it closed the connection: does it speak TLS (TEMPORAL_TLS)?"
