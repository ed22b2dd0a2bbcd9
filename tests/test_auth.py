"""Who we are: every form of a key, certificates, passwords, the agent; one attempt a login, and files that change."""

import os
import socket
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import pytest
from paramiko import PKey
from rig.keys import Key, make_key
from rig.logins import Login
from rig.needs import program
from rig.scripted import SshServer, shell
from rig.users import PASSWORD, SH, User, own_file
from rig.wait import until

from collector import exposition
from collector.config import IdentityFiles, Machine
from collector.config.algorithms import ALGORITHMS, chosen
from collector.polling import man
from collector.ssh import identities
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities, KeyIdentity
from collector.ssh.known_hosts import fingerprint
from collector.sweep import Post, settle, visit

FORMS = ("RFC4716", "PEM", "PKCS8")
KINDS = ("ed25519", "ecdsa", "rsa")
PASSPHRASE = "planted passphrase"
PAM = "keyboard-interactive:pam"
SESAME = User("sesame", password=True)

Keygen = Callable[..., Path]


def keygen(*words: str | Path) -> None:
    """Run ssh-keygen."""
    subprocess.run([program("ssh-keygen"), "-q", *map(str, words)], check=True, capture_output=True)


def identity(key_file: Path, **changes: Any) -> IdentityFiles:
    """What a login with a key is made of."""
    return IdentityFiles(key_file, None, None, None, False)._replace(**changes)


def secret(path: Path, text: str = PASSWORD) -> Path:
    """Write a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return path


def problem(files: IdentityFiles) -> tuple[str, str]:
    """Return what is wrong with an identity."""
    found = Identities().problem(files)
    assert found is not None
    return found


@pytest.fixture
def post() -> Iterator[Callable[..., Post]]:
    """`post(login, agent=True, …)`: what polls one machine; hangs up at the end."""
    options = {"name": "ssh0", "gather": ("time",), "labels": (), "interval": 1.0, "interval_text": "1s"}
    with ExitStack() as stack:

        def post(login: Login, **changes: Any) -> Post:
            machine = Machine(**{**options, "timeout": 5.0, "login_timeout": 10.0, **login, **changes})
            made = man(machine, Connector(Identities(), logins=4))
            stack.callback(made.session.close)
            return made

        yield post


def result(post: Post) -> tuple[str, str]:
    """Log in and poll; return the reason and the text of the failure, or `up` and nothing."""
    post.session.close()
    snapshot = visit(post)
    settle(post, snapshot)
    return (snapshot.failure.reason, snapshot.failure.text) if snapshot.failure else ("up", "")


# Keys.


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "passphrase"])
@pytest.mark.parametrize("form", [(kind, form) for kind in KINDS for form in FORMS], ids="-".join)
def test_every_form_of_a_key_logs_in(
    form: tuple[str, str], passphrase: str, shared_sshd: Any, post: Callable[..., Post], tmp_path: Path
) -> None:
    """A real sshd takes Ed25519, ECDSA and RSA keys from OpenSSH's form, PKCS#1, SEC1 and PKCS#8, locked or not."""
    path = tmp_path / "id"
    keygen("-t", form[0], "-m", form[1], "-N", passphrase, "-f", path)
    authorized = shared_sshd.authorized_keys("sh")
    before = authorized.read_text()
    own_file(authorized, before + path.with_name("id.pub").read_text())
    changes = {"passphrase_file": secret(tmp_path / "passphrase", PASSPHRASE)} if passphrase else {}

    assert result(post({**shared_sshd.login(), "key_file": path}, **changes)) == ("up", "")
    own_file(authorized, before)


BAD_KEYS = {
    "a short RSA key": (("-t", "rsa", "-b", "1024"), "is an RSA key of 1024 bits; take one of 2048 or more, or"),
    "a DSA key": (("-t", "dsa"), "is a DSA key, which sshd no longer takes"),
    "a DSA key in PEM": (("-t", "dsa", "-m", "PEM"), "is a DSA key, which sshd no longer takes"),
    "a DSA key in PKCS#8": (
        ("-t", "dsa", "-m", "PKCS8"),
        "is not a key of a kind that is used here (Ed25519, ECDSA, RSA)",
    ),
    "a locked key": (
        ("-t", "ed25519", "-N", PASSPHRASE),
        "has a passphrase; write passphrase_file = a file that holds",
    ),
    "a locked key in PEM": (("-t", "rsa", "-m", "PEM", "-N", PASSPHRASE), "has a passphrase; write passphrase_file ="),
}


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("name", BAD_KEYS)
def test_key_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    """A key that is too short, of a dead kind, or locked is refused, with what to do."""
    words, text = BAD_KEYS[name]
    keygen("-f", tmp_path / "id", *(words if "-N" in words else (*words, "-N", "")))

    option, said = problem(identity(tmp_path / "id"))

    assert option == "key_file"
    assert said.startswith(f"{tmp_path / 'id'} {text}")


SECURITY_KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAASgAAABpzay1zc2gtZWQy
NTUxOUBvcGVuc3NoLmNvbQAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAARz
c2g6
-----END OPENSSH PRIVATE KEY-----
"""
OTHER_FILES = {
    "PuTTY-User-Key-File-3: ssh-ed25519\n": "is a key of PuTTY; write it as OpenSSH's with puttygen",
    "ssh-ed25519 AAAA me\n": "is a public key; name the private one",
    "ecdsa-sha2-nistp256 AAAA me\n": "is a public key; name the private one",
    "sk-ssh-ed25519@openssh.com AAAA me\n": "is the public half of a key on a security key (FIDO)",
    SECURITY_KEY: "is on a security key (FIDO), which nobody is here to touch",
    "hello\n": "is not a private key, or is damaged",
    "": "is not a private key, or is damaged",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----\n": "is not a private key",
    "x" * 100_000: "is too large to be what it should be",
}


@pytest.mark.parametrize("text", OTHER_FILES, ids=[text[:20] or "nothing" for text in OTHER_FILES])
def test_file_that_is_no_private_key(text: str, tmp_path: Path) -> None:
    """What people name instead of a private key is told by what it is."""
    path = secret(tmp_path / "id", text)

    assert problem(identity(path)) == ("key_file", problem(identity(path))[1])
    assert problem(identity(path))[1].startswith(f"{path} {OTHER_FILES[text]}")


def test_public_key_need_not_be_hidden(tmp_path: Path) -> None:
    """A public key in place of the private one is told as such, although others may read it."""
    key = make_key(tmp_path / "id")
    public = key.path.with_name("id.pub")
    public.chmod(0o644)

    assert problem(identity(public))[1].startswith(f"{public} is a public key; name the private one")


def test_key_that_is_refused(shared_sshd: Any, post: Callable[..., Post], tmp_path: Path) -> None:
    """When the server refuses the key, the text says whose login it was, and which key, by its fingerprint."""
    key = make_key(tmp_path / "id")
    shown = fingerprint(b64decode(key.public.split()[1]))

    reason, text = result(post({**shared_sshd.login("sh"), "key_file": key.path}))

    assert reason == "auth"
    refused = f"the server refused the key {shown}; is it in authorized_keys there?"
    assert text == f"waiting for an answer to the login as sh: {refused}"


def test_wrong_passphrase(tmp_path: Path) -> None:
    """A passphrase that does not open the key is told as such, by its file, for OpenSSH's form and for PEM."""
    locked = make_key(tmp_path / "id", "ecdsa", passphrase=b"right").path
    wrong = secret(tmp_path / "passphrase", "wrong")
    expected = ("passphrase_file", f"{locked} does not open with the passphrase in {wrong}")

    assert problem(identity(locked, passphrase_file=wrong)) == expected


@pytest.mark.parametrize(
    ("text", "fault"), [("", "is empty"), ("\n", "is empty"), ("one\ntwo\n", "holds more than one line")]
)
def test_file_of_a_secret(text: str, fault: str, tmp_path: Path) -> None:
    """A password file holds one line; a newline at its end, of Unix or of Windows, is not part of it."""
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(text)
    option, said = problem(identity(tmp_path / "id", password_file=path))
    assert (option, said) == ("password_file", f"{path} {fault}; write one line into it")
    for end in ("", "\n", "\r\n"):
        path.write_bytes(f"word {end}".encode())
        assert identities.read_secret("password_file", path) == b"word "


@pytest.mark.parametrize("option", ["key_file", "passphrase_file", "password_file"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_secrets_that_others_can_read_are_refused(option: str, mode: int, tmp_path: Path) -> None:
    """A key, a passphrase or a password whose file a group or all may read is refused, as ssh does."""
    locked = make_key(tmp_path / "id", passphrase=PASSPHRASE.encode()).path
    files = identity(locked, passphrase_file=secret(tmp_path / "passphrase", PASSPHRASE))
    if option == "password_file":
        files = files._replace(password_file=secret(tmp_path / "password"))
    assert Identities().problem(files) is None
    path = getattr(files, option)
    path.chmod(mode)

    assert problem(files) == (option, f"{path} can be read by others (mode {mode:04o}); chmod 600 {path}")


@pytest.mark.needs("root")
@pytest.mark.parametrize(("mode", "good"), [(0o400, True), (0o440, True), (0o444, False)])
def test_credential_of_another_owner(mode: int, good: bool, tmp_path: Path) -> None:
    """What systemd hands on, owned by another and open to us alone by an access list, is taken; open to all is not."""
    path = secret(tmp_path / "password")
    path.chmod(mode)
    os.chown(path, 65534, 65534)

    assert (Identities().problem(identity(tmp_path / "id", password_file=path)) is None) == good


def test_key_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins and reloads share what was read; a replaced key is read again, and one gone bad changes nothing."""
    read: list[Path] = []
    load = identities.load_key

    def count(path: Path, passphrase_file: Path | None) -> PKey:
        read.append(path)
        return load(path, passphrase_file)

    monkeypatch.setattr(identities, "load_key", count)
    one, two = make_key(tmp_path / "one").path, make_key(tmp_path / "two").path
    first = Identities()
    for _ in range(3):
        assert first.problem(identity(one)) is None
        assert first.problem(identity(two)) is None
    assert read == [one, two]

    before = first[identity(one)]
    make_key(one)
    second = Identities(first)
    after = second[identity(one)]
    assert second.problem(identity(two)) is None
    assert read == [one, two, one]
    assert isinstance(before, KeyIdentity)
    assert isinstance(after, KeyIdentity)
    assert before.key.asbytes() != after.key.asbytes()

    one.write_text("half a key")
    assert second[identity(one)] == after
    assert Identities(second).problem(identity(one)) is not None


# Certificates.


@pytest.fixture
def authority(tmp_path: Path) -> Key:
    """A certificate authority."""
    return make_key(tmp_path / "ca")


def certify(authority: Key, key: Path, *words: str, name: str = "me") -> Path:
    """Make the certificate of a key beside it; returns its file."""
    keygen("-s", authority.path, "-I", name, "-n", "sh", *words, f"{key}.pub")
    return key.with_name(f"{key.name}-cert.pub")


@pytest.fixture
def trusting(sshd: Callable[..., Any], authority: Key) -> Any:
    """A real sshd that takes nobody but whom the authority has certified."""
    public = authority.path.with_name("ca.pub")
    return sshd(users=[SH], TrustedUserCAKeys=str(public), AuthorizedKeysFile="none")


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("kind", KINDS)
def test_certificate_beside_the_key(
    kind: str, trusting: Any, authority: Key, post: Callable[..., Post], tmp_path: Path
) -> None:
    """The certificate beside the key is shown without being named, and a named one wherever it is."""
    key = make_key(tmp_path / "id", kind).path
    login = {**trusting.login(), "key_file": key}
    assert result(post(login))[0] == "auth"

    beside = certify(authority, key)
    assert result(post(login)) == ("up", "")
    named = beside.rename(tmp_path / "another-name.pub")
    assert result(post(login))[0] == "auth"
    assert result(post(login, certificate_file=named)) == ("up", "")


@pytest.mark.needs("ssh-keygen")
def test_certificate_is_renewed(trusting: Any, authority: Key, post: Callable[..., Post], tmp_path: Path) -> None:
    """A certificate that was renewed is shown at the next login, without a reload; one gone bad changes nothing."""
    key = make_key(tmp_path / "id").path
    certify(authority, key, name="first")
    made = post({**trusting.login(), "key_file": key})
    assert result(made) == ("up", "")

    path = certify(authority, key, name="second")
    assert result(made) == ("up", "")
    until(lambda: "ID second" in trusting.log, "sshd saw the second certificate")

    path.write_text("half a certificate")
    assert result(made) == ("up", "")


@pytest.mark.needs("ssh-keygen")
def test_expired_certificate(
    trusting: Any, authority: Key, post: Callable[..., Post], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An expired certificate is a warning, the login is tried all the same, and the failure says when it expired."""
    key = make_key(tmp_path / "id").path
    path = certify(authority, key, "-V", "20200101000000Z:20200102000000Z")
    expired = f"the certificate {path} expired on 2020-01-02 00:00 UTC"

    made = post({**trusting.login(), "key_file": key})
    reason, text = result(made)

    assert reason == "auth"
    assert text.endswith(expired)
    assert expired in caplog.text
    until(lambda: "Certificate invalid: expired" in trusting.log, "sshd saw the certificate")


def expiry(post: Post) -> str:
    """Return the line of the page about the certificate; empty if there is none."""
    fleet = post.standing
    page = str(exposition.render(fleet))
    return next((line for line in page.splitlines() if "certificate" in line), "")


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("validity", ["-V", ""])
def test_expiry_is_on_the_page(
    validity: str, trusting: Any, authority: Key, post: Callable[..., Post], tmp_path: Path
) -> None:
    """The page says when a certificate ends, and says nothing of one without end."""
    key = make_key(tmp_path / "id").path
    words = ("-V", "20200101000000Z:20330518033320Z") if validity else ()
    certify(authority, key, *words)
    made = post({**trusting.login(), "key_file": key})
    assert result(made) == ("up", "")

    series = 'ssh_certificate_expiry_timestamp_seconds{instance="ssh0"} 2e+09'
    assert expiry(made) == (series if validity else "")


@pytest.mark.needs("ssh-keygen")
def test_renewal_is_seen_without_a_login(authority: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The expiry is that of the file as it is now, although a kept session may not log in for months."""
    key = make_key(tmp_path / "id").path
    certify(authority, key, "-V", "20200101000000Z:20330518033320Z")
    known = Identities()
    assert known.expiry(identity(key)) == 2e9
    certify(authority, key, "-V", "20200101000000Z:20330518033330Z")
    assert known.expiry(identity(key)) == 2e9

    monkeypatch.setattr(identities, "LOOK_EVERY", 0.0)
    assert known.expiry(identity(key)) == 2e9 + 10


@pytest.mark.needs("ssh-keygen")
def test_wrong_certificates(authority: Key, tmp_path: Path) -> None:
    """A certificate of a host, one of another key, and what is none are refused, by name."""
    key, other = make_key(tmp_path / "id").path, make_key(tmp_path / "other").path
    path = certify(authority, key, "-h")
    option, text = problem(identity(key))
    assert (option, text.split(";")[0]) == ("certificate_file", f"{path} is a certificate of a host")

    named = certify(authority, other)
    option, text = problem(identity(key, certificate_file=named))
    assert (option, text.split(";")[0]) == ("certificate_file", f"{named} is the certificate of another key")

    for bad in (f"{key}.pub", key, tmp_path / "nothing"):
        option, text = problem(identity(key, certificate_file=Path(bad)))
        assert option == "certificate_file"
        assert str(bad) in text


# Passwords.


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A file with the rig's password."""
    return secret(tmp_path / "password")


def test_password(sshd: Callable[..., Any], post: Callable[..., Post], password_file: Path) -> None:
    """A real sshd takes the password after one attempt; a wrong one is `auth`, after one attempt too."""
    server = sshd(users=[SESAME], PasswordAuthentication="yes", PubkeyAuthentication="no")
    made = post(server.login("sesame"), password_file=password_file)
    assert result(made) == ("up", "")

    password_file.write_text("wrong")
    reason, text = result(made)
    assert (reason, text) == ("auth", "waiting for an answer to the login as sesame: the server refused the password")
    until(lambda: "Failed password" in server.log, "sshd logs the attempt")
    assert server.log.count("Failed ") == 1


def test_password_is_the_only_attempt(sshd: Callable[..., Any], post: Callable[..., Post], password_file: Path) -> None:
    """A real sshd that allows a single attempt lets the password in: asking how to log in is none."""
    server = sshd(users=[SESAME], PasswordAuthentication="yes", MaxAuthTries="1")

    assert result(post(server.login("sesame"), password_file=password_file)) == ("up", "")


def test_password_where_only_keys_are_taken(shared_sshd: Any, post: Callable[..., Post], password_file: Path) -> None:
    """A server that takes no password is not given one."""
    reason, text = result(post(shared_sshd.login(), password_file=password_file))

    assert reason == "auth"
    assert text.endswith("the server takes no password, only publickey")


def test_keyboard_interactive(post: Callable[..., Post], login: Callable[..., Login], password_file: Path) -> None:
    """Where only keyboard-interactive is offered the password answers its one hidden question."""
    questions = ((("Password: ", False),), ())
    with SshServer(shell(), methods="publickey,keyboard-interactive", password=PASSWORD, questions=questions) as server:
        assert result(post(login(server), password_file=password_file)) == ("up", "")
        assert server.answers == [[PASSWORD], []]


def test_keyboard_interactive_of_pam(sshd: Callable[..., Any], post: Callable[..., Post], password_file: Path) -> None:
    """A real sshd that asks by way of PAM is answered; a wrong password is `auth`, after one attempt."""
    server = sshd(users=[SESAME], UsePAM="yes", KbdInteractiveAuthentication="yes", AuthenticationMethods=PAM)
    made = post(server.login("sesame"), password_file=password_file)
    assert result(made) == ("up", "")

    password_file.write_text("wrong")
    assert result(made) == ("auth", "waiting for an answer to the login as sesame: the server refused the password")
    until(lambda: "PAM: Authentication failure" in server.log, "sshd logs the attempt")
    assert server.log.count("PAM: Authentication failure") == 1


QUESTIONS = {
    "one that is seen": [[("Password: ", True)]],
    "two": [[("Password: ", False), ("Code: ", False)]],
    "one after the other": [[("Password: ", False)], [("Code: ", False)]],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_other_questions(
    name: str, post: Callable[..., Post], login: Callable[..., Login], password_file: Path
) -> None:
    """A question that is not for one hidden password gets no answer, and the login fails at once."""
    with SshServer(methods="keyboard-interactive", password=PASSWORD, questions=QUESTIONS[name]) as server:
        reason, text = result(post(login(server), password_file=password_file))

        assert reason == "auth"
        assert "the server asks for more than one password" in text
        assert server.answers == ([[PASSWORD]] if name == "one after the other" else [])


def test_more_than_one_proof(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """A server that wants a password after the key is told as such."""
    server = sshd(users=[SESAME], PasswordAuthentication="yes", AuthenticationMethods="publickey,password")

    reason, text = result(post(server.login("sesame")))

    assert reason == "auth"
    assert text.endswith("the server wants more than one proof (then password), and we have but one")


# The agent.


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], object]]:
    """A real ssh-agent; `agent(path)` gives it a key."""
    path = tmp_path / "agent"
    with subprocess.Popen([program("ssh-agent"), "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        until(path.exists, "the agent listens")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield lambda key: subprocess.check_output([program("ssh-add"), "-q", str(key)], stderr=subprocess.DEVNULL)
        process.terminate()


@pytest.mark.needs("ssh-agent", "ssh-add")
@pytest.mark.parametrize("kind", KINDS)
def test_agent(
    kind: str, sshd: Callable[..., Any], agent: Callable[[Path], object], post: Callable[..., Post], tmp_path: Path
) -> None:
    """Of the agent's keys the one that is named logs in, with one attempt; its private half need not be here."""
    for number in range(3):
        agent(make_key(tmp_path / f"other{number}").path)
    key = make_key(tmp_path / "id", kind)
    agent(key.path)
    server = sshd(users=[SH])
    own_file(server.authorized_keys("sh"), f"{key.public}\n")
    made = post({**server.login(), "key_file": key.path}, agent=True)
    assert result(made) == ("up", "")

    key.path.unlink()
    assert result(made) == ("up", "")
    assert result(post({**server.login(), "key_file": tmp_path / "id.pub"}, agent=True)) == ("up", "")
    assert server.log.count("Failed ") == 0


@pytest.mark.needs("ssh-agent", "ssh-add", "ssh-keygen")
def test_agent_with_a_certificate(
    trusting: Any, authority: Key, agent: Callable[[Path], object], post: Callable[..., Post], tmp_path: Path
) -> None:
    """The certificate beside the key is shown although the agent signs."""
    key = make_key(tmp_path / "id", "rsa").path
    agent(key)
    certify(authority, key)

    assert result(post({**trusting.login(), "key_file": key}, agent=True)) == ("up", "")


@pytest.mark.needs("ssh-agent")
def test_agent_without_the_key(shared_sshd: Any, agent: Callable[[Path], object], post: Callable[..., Post]) -> None:
    """An agent that does not have the key is told as such, and no other key of it is tried."""
    reason, text = result(post(shared_sshd.login(), agent=True))

    assert reason == "auth"
    assert text.endswith("the agent does not have the key of key_file; ssh-add -l says what it has")


def test_no_agent(shared_sshd: Any, post: Callable[..., Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an agent, or with one that has gone, the failure is `local` and says so."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    reason, text = result(post(shared_sshd.login(), agent=True))
    missing = "agent = yes, but SSH_AUTH_SOCK is not set, so there is no agent"
    assert (reason, text) == ("local", f"{missing}; start the collector where there is one, or write agent = no")

    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    reason, text = result(post(shared_sshd.login(), agent=True))
    assert (reason, text) == ("local", f"cannot reach the agent at {tmp_path / 'gone'}: No such file or directory")


def identities_answer(public: bytes) -> bytes:
    """The message in which an agent says that it has one key (draft-miller-ssh-agent, 4.4)."""
    fields = b"\x0c" + (1).to_bytes(4, "big") + len(public).to_bytes(4, "big") + public + bytes(4)
    return len(fields).to_bytes(4, "big") + fields


@pytest.mark.parametrize("says", ["nothing", "its keys"])
def test_silent_agent(
    says: str, shared_sshd: Any, post: Callable[..., Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that never answers, or never signs, is cut by the deadline; meanwhile all else goes on."""
    path = str(tmp_path / "silent")
    answer = identities_answer(identities.public_half(shared_sshd.key.path)) if says == "its keys" else b""
    ended: list[bool] = []
    beats: list[bool] = []

    def beat() -> None:
        while True:
            gevent.sleep(0.01)
            beats.append(True)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)
                while connection.recv(4096):
                    pass
            ended.append(True)

        greenlet = gevent.spawn(serve)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        heart = gevent.spawn(beat)
        reason, text = result(post(shared_sshd.login(), agent=True, login_timeout=0.5))
        heart.kill()
        greenlet.join()

    assert (reason, text) == (
        "auth",
        f"waited for an answer to the login as {shared_sshd.login()['user']}: none within 0.5 s",
    )
    assert ended
    assert len(beats) > 5


# Algorithms.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aes256-ctr,aes128-ctr", ("aes256-ctr", "aes128-ctr")),
        ("chacha20-poly1305@openssh.com,aes256-ctr,aes128-cbc", ("aes256-ctr",)),
        ("+aes192-ctr,aes128-cbc", (*ALGORITHMS["ciphers"].usual, "aes192-ctr")),
        ("-aes128*", ("aes256-gcm@openssh.com", "aes256-ctr")),
        ("-*@openssh.com,aes256-ctr", ("aes128-ctr",)),
        ("^aes256-ctr", ("aes256-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")),
    ],
)
def test_lists_of_algorithms(text: str, expected: tuple[str, ...]) -> None:
    """A list, and one that adds, takes away or puts first, mean what they mean to ssh; nothing weak ever gets in."""
    assert chosen(text.split(","), ALGORITHMS["ciphers"]) == expected


@pytest.mark.parametrize("text", ["aes128-cbc", "-*", "chacha20-poly1305@openssh.com"])
def test_no_algorithm_is_left(text: str) -> None:
    """A list of which nothing is left is refused, with what there is."""
    with pytest.raises(ValueError, match=r"nothing is left of '.*'; there are: aes128-gcm@openssh.com, "):
        chosen(text.split(","), ALGORITHMS["ciphers"])


def test_named_algorithms_are_used(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """What a machine names is what a real sshd agrees on."""
    server = sshd(LogLevel="DEBUG1", host_keys=["ed25519", "rsa"])
    made = post(
        server.login(),
        kex_algorithms=("diffie-hellman-group16-sha512",),
        ciphers=("aes192-ctr",),
        macs=("hmac-sha2-512",),
        host_key_algorithms=("rsa-sha2-256",),
    )

    assert result(made) == ("up", "")
    for said in (
        "kex: algorithm: diffie-hellman-group16-sha512",
        "kex: host key algorithm: rsa-sha2-256",
        "kex: client->server cipher: aes192-ctr MAC: hmac-sha2-512",
    ):
        assert said in server.log


def test_newer_name_of_curve25519(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """A server that knows Curve25519 by its newer name alone is reached."""
    assert result(post(sshd(KexAlgorithms="curve25519-sha256").login())) == ("up", "")
