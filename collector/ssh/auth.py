"""Who we are: private keys, loaded once for the whole daemon, and the login with them."""

from pathlib import Path
from threading import Event

from paramiko import PKey
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import AuthenticationException, PasswordRequiredException, SSHException

from collector.errors import CollectorError
from collector.ssh.phase import AUTH, Deadline
from collector.ssh.transport import TunedTransport


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


def log_in(transport: TunedTransport, user: str, key: PKey, deadline: Deadline) -> None:
    """Authenticate with one key: no agent, no guessing. sshd counts every attempt."""
    done = Event()
    with deadline.during(AUTH):
        transport.auth_publickey(user, key, done)
        done.wait()
        transport.check()
        if not transport.is_authenticated():
            raise transport.get_exception() or AuthenticationException("the server refused the key")
