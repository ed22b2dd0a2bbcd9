"""Who we are: private keys, loaded once for the whole daemon."""

from pathlib import Path

from paramiko import PKey
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import PasswordRequiredException, SSHException

from collector.errors import CollectorError


class BadKey(CollectorError):
    """A private key cannot be used; the text says why and what to do."""


def load_key(path: Path) -> PKey:
    """Load a private key.

    Raises:
        BadKey: it cannot be read, is none, or has a passphrase.
    """
    try:
        return PKey.from_path(path)
    except (PasswordRequiredException, TypeError):
        raise BadKey(f"{path} has a passphrase; the collector needs a key without one") from None
    except OSError as error:
        raise BadKey(f"cannot read {path}: {error.strerror}") from error
    except (SSHException, UnknownKeyType, ValueError) as error:
        raise BadKey(f"{path} is not a private key of a kind known here (Ed25519, ECDSA, RSA)") from error
