"""The keys and certificates of one control plane: an authority, a serving pair, an administrator, a signing key.

Elliptic-curve keys, generated in milliseconds. Valid for a week around `now`: a control plane lives for one test or
demo.
"""

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

LIFETIME = dt.timedelta(days=7)
SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificate files of one control plane."""

    authority: Path
    serving: Pair
    admin: Pair
    service_account_key: Path


def first_addresses(service_cidr: str) -> list[str]:
    """The address of `kubernetes.default` in each range of a comma-separated list: the range's first."""
    return [str(ipaddress.ip_network(text.strip())[1]) for text in service_cidr.split(",")]


def write_secret(path: Path, content: bytes) -> Path:
    """Write the content to the path, readable by its owner alone, and return the path."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PEM, in the format that Go's parsers accept."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """The key usage extension; OpenSSL's strict mode (the default since Python 3.13) requires it on an authority."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """A certificate authority that signs into one folder."""

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        self.folder = folder
        self.now = now
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "podsonar-lab")])
        certificate = (
            self.builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(authority=True), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = folder / "ca.crt"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        """A certificate builder for the subject that lacks only its purpose."""
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - SKEW)
            .not_valid_after(self.now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )

    def pair(
        self,
        name: str,
        purpose: ObjectIdentifier,
        organization: str | None = None,
        alternatives: Iterable[x509.GeneralName] = (),
    ) -> Pair:
        """Sign a pair into `<name>.crt` and `<name>.key` (colons as `_`).

        Kubernetes reads the organization as the user's group.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organization is not None:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        builder = (
            self.builder(x509.Name(attributes), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        names = list(alternatives)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        file = name.replace(":", "_")
        certificate = self.folder / f"{file}.crt"
        certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return Pair(certificate, write_secret(self.folder / f"{file}.key", key_pem(key)))

    def client(self, user: str, group: str | None = None) -> Pair:
        """The pair of a client: Kubernetes reads the names as user and group."""
        return self.pair(user, ExtendedKeyUsageOID.CLIENT_AUTH, group)


def make_certificates(
    folder: Path, service_cidr: str, now: dt.datetime, addresses: Iterable[str] = ()
) -> tuple[Certificates, Authority]:
    """Generate certificates in the folder; return them with the authority that can sign more.

    The serving certificate covers loopback, the first service addresses and the addresses given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder, now)
    covered = ["127.0.0.1", "::1", *first_addresses(service_cidr), *addresses]
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(text)) for text in covered]
    alternatives += [x509.DNSName(text) for text in names]
    certificates = Certificates(
        authority=authority.file,
        serving=authority.pair("kube-apiserver", ExtendedKeyUsageOID.SERVER_AUTH, alternatives=alternatives),
        admin=authority.client("podsonar-lab-admin", "system:masters"),
        service_account_key=write_secret(
            folder / "service-account.key", key_pem(ec.generate_private_key(ec.SECP256R1()))
        ),
    )
    return certificates, authority
