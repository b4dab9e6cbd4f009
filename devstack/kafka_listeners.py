"""The broker's listeners: for clients with a password, with a certificate, with both, and for those behind a proxy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from devstack.certificates import Certificates

MECHANISM: Final = "SCRAM-SHA-512"
_CLIENT: Final = "listener.name.client."


class ClientCertificate(StrEnum):
    """What a listener that asks for a client's certificate takes it for."""

    BESIDE_PASSWORD = "MUTUAL"  # noqa: S105  # a listener's name. The user is the one of the password (SASL_SSL)
    INSTEAD_OF_PASSWORD = "CERTIFICATE"  # noqa: S105  # the user is the certificate's common name (SSL)


@dataclass(frozen=True, slots=True)
class ProxiedListener:
    """A listener of the broker's for the clients of one proxy, which has to listen on `proxy_port`."""

    name: str
    port: int
    proxy_port: int


@dataclass(frozen=True, slots=True)
class _Listener:
    name: str
    port: int
    advertised_port: int
    protocol: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """The listeners of one broker, as its settings have them. `user` and `password` are those that brokers use among themselves."""

    port: int
    controller_port: int
    proxied: Sequence[ProxiedListener]
    mutual_ports: Mapping[ClientCertificate, int]
    certificates: Certificates
    user: str
    password: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """The settings that concern listeners."""
        usual = self._usual()
        settings = {
            "listeners": f"CLIENT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            **{_CLIENT + key: value for key, value in usual.items()},
        }
        for each in self._others():
            settings["listeners"] += f",{each.name}://127.0.0.1:{each.port}"
            settings["advertised.listeners"] += f",{each.name}://127.0.0.1:{each.advertised_port}"
            settings["listener.security.protocol.map"] += f",{each.name}:{each.protocol}"
            prefix = f"listener.name.{each.name.lower()}."
            settings |= {prefix + key: value for key, value in {**usual, **each.more}.items()}
        return settings

    def _usual(self) -> dict[str, str]:
        """What every listener for clients has, without its name."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return {
            "scram-sha-512.sasl.jaas.config": f'{scram} required username="{self.user}" password="{self.password}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.key": _one_line(self.certificates.key_file),
            "ssl.keystore.certificate.chain": _one_line(self.certificates.cert_file),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": _one_line(self.certificates.ca_file),
        }

    def _others(self) -> list[_Listener]:
        proxied = [_Listener(each.name, each.port, each.proxy_port, "SASL_SSL") for each in self.proxied]
        asks = {"ssl.client.auth": "required"}
        names = {"ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/"}
        beside = self.mutual_ports[ClientCertificate.BESIDE_PASSWORD]
        instead = self.mutual_ports[ClientCertificate.INSTEAD_OF_PASSWORD]
        return [
            *proxied,
            _Listener(ClientCertificate.BESIDE_PASSWORD, beside, beside, "SASL_SSL", asks),
            _Listener(ClientCertificate.INSTEAD_OF_PASSWORD, instead, instead, "SSL", {**asks, **names}),
        ]


def _one_line(pem_file: Path) -> str:
    """A PEM file as the value of a Java property."""
    return "\\n".join(pem_file.read_text().splitlines())
