"""A host's certificate, and what must be right about it before it vouches for a key (PROTOCOL.certkeys of OpenSSH)."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHCertPublicKeyTypes

from collector.ssh.known_hosts import HostKey, fields

FOREVER = 2**64 - 1

MALFORMED = (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm)
"""What cryptography raises about bytes that are no certificate, or one of a kind that it does not know."""


class BadCertificate(Exception):
    """A certificate vouches for nobody here; the text says why and what to do."""


class HostCertificate:
    """A certificate that a host shows for its key. Raises BadCertificate when it cannot be read."""

    def __init__(self, key: HostKey) -> None:
        try:
            kind = next(fields(key.certificate), b"")
            certificate = load_ssh_public_identity(kind + b" " + base64.b64encode(key.certificate))
            if not isinstance(certificate, SSHCertificate):
                raise ValueError("it is a plain key")
            self._authority = certificate.signature_key()
            certified = blob_of(certificate.public_key())
        except MALFORMED as error:
            raise BadCertificate(f"a certificate that cannot be read: {error}") from error
        if certified != key.blob:
            raise BadCertificate("a certificate of another key")
        self._certificate = certificate

    @property
    def authority(self) -> bytes:
        """The blob of the key that signed it."""
        return blob_of(self._authority)

    def check(self, host: str, now: float) -> None:
        """Do nothing if this is a good certificate for a host at a time (seconds since the epoch).

        Raises:
            BadCertificate: it is not.
        """
        self._check_signature()
        certificate = self._certificate
        if certificate.type is not SSHCertificateType.HOST:
            raise BadCertificate("a user's certificate, not a host's; sign it with ssh-keygen -h")
        # ssh takes a certificate without names as one for every host: who has one such key could pose as any of them.
        if host.encode() not in certificate.valid_principals:
            names = _listed(certificate.valid_principals) or "no name"
            raise BadCertificate(f"a certificate for {names}; sign one with ssh-keygen -n {host}")
        if not certificate.valid_after <= now < certificate.valid_before:
            begin, end = map(_date, (certificate.valid_after, certificate.valid_before))
            raise BadCertificate(f"a certificate that is valid from {begin} to {end}; renew it, and look at the clocks")
        if certificate.critical_options:
            options = _listed(certificate.critical_options)
            raise BadCertificate(f"a certificate with the critical option {options}, which no host's has")

    def _check_signature(self) -> None:
        # There is no public way to tell which hash an RSA authority has signed with.
        if isinstance(self._authority, RSAPublicKey) and bytes(self._certificate._inner_sig_type) == b"ssh-rsa":
            raise BadCertificate("a certificate that is signed with SHA-1; sign it with ssh-keygen -t rsa-sha2-512")
        try:
            self._certificate.verify_cert_signature()
        except (InvalidSignature, *MALFORMED) as error:
            raise BadCertificate("a certificate whose signature is wrong") from error


def blob_of(key: SSHCertPublicKeyTypes) -> bytes:
    """Return a key's blob."""
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _listed(words: Iterable[bytes]) -> str:
    text = ", ".join(ascii(word.decode("utf-8", "replace"))[1:-1] for word in words)
    return text if len(text) <= 200 else text[:199] + "…"


def _date(seconds: int) -> str:
    if seconds == FOREVER:
        return "ever"
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return "beyond all dates"
