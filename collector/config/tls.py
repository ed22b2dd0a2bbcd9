"""Certificates and keys, as texts -> the SSLContext of a server. Nothing here reads a file, and no message holds a key.

The names of ciphers and curves are Go's, because the format that has them is (`web`). OpenSSL alone decides what can be
used; why not is found out afterwards.
"""

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
SUITES = {
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    "AES_128_CBC_SHA": "AES128-SHA",
    "AES_256_CBC_SHA": "AES256-SHA",
}
CIPHERS = {
    f"TLS_ECDHE_{signature}_WITH_{suite}": f"ECDHE-{signature}-{ours}"
    for signature in ("ECDSA", "RSA")
    for suite, ours in SUITES.items()
}
"""The cipher suites of TLS 1.2 that can be chosen, and their names in OpenSSL."""
FIXED = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Those of TLS 1.3, which are always offered: here and in Go nobody can choose among them."""
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


class Unusable(ValueError):
    """A text is not what it should be; `field` is the one of the web configuration that has it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def server_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return a context that shows a certificate, or a chain that begins with it, and asks for none. Raises Unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could make us do one handshake after another on the same connection.
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Who offers anything is told what is spoken here; HTTP/2 is not.
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _as_file(certificate) as chain, _as_file(key) as private:
            # Without a password OpenSSL would ask for that of an encrypted key at the terminal.
            context.load_cert_chain(chain, private, password="")
    except (ssl.SSLError, ValueError) as error:
        raise _why(certificate, key, error) from None
    return context


def ask_for_certificates(context: ssl.SSLContext, authorities: bytes | None, required: bool) -> None:
    """Let in only clients whose certificate is of one of `authorities`; or, not `required`, also who shows none.

    With None for authorities they are those that the system trusts. Raises Unusable.
    """
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            raise Unusable("client_ca", "no certificate in PEM form; name the one that signs your clients'") from None
    else:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    # As in Go, whatever is named is trusted, also one that another authority has signed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL


def choose_ciphers(context: ssl.SSLContext, names: Sequence[str]) -> None:
    """Offer in TLS 1.2 only these of CIPHERS, the first one first."""
    context.set_ciphers(":".join(CIPHERS[name] for name in names if name in CIPHERS))


@contextmanager
def _as_file(text: bytes) -> Iterator[str]:
    """Give a text the name of a file, because OpenSSL wants one; it is in memory, and nobody else can open it."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _why(certificate: bytes, key: bytes, error: Exception) -> Unusable:
    """Return why OpenSSL does not take a certificate and its key."""
    if not _reads(lambda: x509.load_pem_x509_certificates(certificate)):
        return Unusable("cert", "no certificate in PEM form; name the file that begins with BEGIN CERTIFICATE")
    try:
        load_pem_private_key(key, None)
    except TypeError:
        return Unusable("key", "has a passphrase; name a key without (openssl pkey -in KEY -out PLAIN makes one)")
    except (ValueError, UnsupportedAlgorithm):
        return Unusable("key", "no private key in PEM form; name the file that begins with BEGIN PRIVATE KEY")
    reason = getattr(error, "reason", None) or "unknown reason"
    if reason == "KEY_VALUES_MISMATCH":
        return Unusable("key", "is not the key of the certificate; name the two that were made together")
    return Unusable("cert", f"OpenSSL does not take it: {reason}; make a certificate of this decade")


def _reads(read: Callable[[], object]) -> bool:
    try:
        read()
    except ValueError:
        return False
    return True
