"""The person's ssh_config: as `ssh -G` reads it, as the configuration uses it, and what is refused."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.needs import program

from collector.config import Config, Machine, load
from collector.config.problems import Problems
from collector.config.ssh_config import KNOWN, SshConfigs, split
from collector.errors import ConfigError
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import visit

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a key and known hosts."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "known_hosts"):
        (folder / ".ssh" / name).touch()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def write(home: Path) -> Write:
    """`write(text, name="config")` makes a file in ~/.ssh and returns its path."""

    def write(text: str, name: str = "config") -> Path:
        path = home / ".ssh" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    return write


def texts(path: Path, host: str = "web1", **given: str) -> dict[str, str]:
    """Return what a good file says of a host, by our options."""
    problems: Problems = []
    said = SshConfigs().texts(path, host, problems, **given)
    assert problems == []
    assert [one for one in said.values() if one.fault] == []
    return {option: one.text for option, one in said.items()}


def problems(path: Path, host: str = "web1") -> list[str]:
    """Return what is wrong with what a file says of a host."""
    found: Problems = []
    said = SshConfigs().texts(path, host, found)
    return [
        f"{place}: {text}" for place, text in [*found, *((one.place, one.fault) for one in said.values() if one.fault)]
    ]


def loaded(tmp_path: Path, text: str) -> Config:
    """Load a collector.ini."""
    path = tmp_path / "collector.ini"
    path.write_text(text)
    return load(path, gatherers={"time": (), "memory": (), "load": ()})


def one(tmp_path: Path, text: str) -> Machine:
    """Return the only machine of a collector.ini."""
    (machine,) = loaded(tmp_path, text).machines
    return machine


# As ssh reads it.


def oracle(path: Path, host: str, *words: str) -> dict[str, list[str]]:
    """Return what `ssh -G` says of a host: keyword → values."""
    argv = [program("ssh"), "-G", "-F", str(path), *words, host]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


def agrees(path: Path, host: str) -> None:
    """Compare what we read with what ssh reads, for options whose values ssh prints as they are."""
    ours, theirs = texts(path, host), oracle(path, host)
    assert ours.get("host", host).lower() == theirs["hostname"][0].lower()
    assert ours.get("port", "22") == theirs["port"][0]
    assert ours.get("user", theirs["user"][0]) == theirs["user"][0]
    assert ours.get("host_key_alias", "") == theirs.get("hostkeyalias", [""])[0]
    assert ours.get("jump", "") == theirs.get("proxyjump", [""])[0]
    timeout = theirs["connecttimeout"][0]
    assert ours.get("login_timeout", "nones") == f"{timeout}s"


ORACLE = {
    "first wins": "Host web1\nPort 1\nHost *\nPort 2\nUser joe\n",
    "before any Host": "Port 7\nHost web1\nPort 1\n",
    "patterns": "Host db? !web1 *\nPort 1\nHost we*1,x\nPort 2\nHost w?b1\nPort 3\n",
    "negation": "Host * !web1\nPort 1\nHost !db1\nPort 2\n",
    "names with case": "Host WEB1\nPort 1\nHost Web1\nPort 2\n",
    "tokens of HostName": "Host web1\nHostName %h.example.org\n",
    "equals signs and quotes": 'Host "web1"\nPort=3\nUser = "joe"\nHostKeyAlias "a b"\n',
    "comments": "Host web1 # not web2\n  Port 3 # three\n# Port 4\n\n  # x\nUser joe\n",
    "escapes": "Host web1\nUser a\\ b\nHostKeyAlias 'it\"s'\n",
    "Match host": "Host web1\nHostName real.example.org\nMatch host real.*\nPort 5\nMatch host web1\nPort 6\n",
    "Match originalhost": "Host web1\nHostName real\nMatch originalhost web1 host real\nPort 5\n",
    "Match user": "Host web1\nUser joe\nMatch user joe,ann\nPort 5\nMatch user *\nPort 6\n",
    "Match negated": "Match !host web1\nPort 5\nMatch host !web1,*\nPort 6\nMatch !user nobody\nPort 7\n",
    "Match all": "Match all\nPort 5\n",
    "Match localuser": "Match localuser *\nPort 5\n",
    "Match with equals": "Match host=web1\nPort 5\n",
    "Match final": "Match final\nPort 5\nMatch final host real\nUser fin\nHost web1\nHostName real\n",
    "Match canonical": "Match canonical\nPort 5\nHost *\nPort 6\n",
    "exec that is not reached": "Match host other exec false\nPort 5\n",
    "ProxyJump": "Host web1\nProxyJump a@b:2222,c\nHost *\nProxyJump d\n",
    "no ProxyJump": "Host web1\nProxyJump none\nHost *\nProxyJump d\n",
    "ProxyJump, then a command": "ProxyJump d\nProxyCommand nc %h %p\n",
    "ConnectTimeout": "ConnectTimeout 1m30\n",
    "ConnectTimeout in days": "ConnectTimeout 1D2h\n",
    "ConnectTimeout none": "ConnectTimeout none\n",
    "keywords with case": "hOsT web1\npORT 9\n",
    "unknown, but told to ignore": "IgnoreUnknown Foo*,bar\nFooBar 1\nPort 3\nBar x\n",
    "passed over": "ForwardAgent yes\nStrictHostKeyChecking no\nControlPath ~/x\nSendEnv LANG LC_*\nPort 3\n",
}


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("host", ["web1", "Web1", "db1", "web1.example.org"])
def test_as_ssh_reads_it(name: str, host: str, write: Write) -> None:
    """Blocks, patterns, quotes, Match and what comes first mean what they mean to `ssh -G`."""
    agrees(write(ORACLE[name]), host)


LINES = st.sampled_from(
    (
        *("Host web1", "Host web*", "Host !web1 *", "Host db1 web2", "Match host web1", "Match host real,web2"),
        *("Match user joe", "Match all", "Match final", "Match !user joe host *", "Match originalhost web1"),
        *("HostName real", "HostName %h.x", "User joe", "User ann", "Port 1", "Port 2", 'Port "3" # c', "ProxyJump j"),
        *("ProxyJump none", "ConnectTimeout 5", "HostKeyAlias al", "Include extra", "# nothing", ""),
    )
)


@pytest.mark.needs("ssh")
@given(main=st.lists(LINES, max_size=12), extra=st.lists(LINES, max_size=4), host=st.sampled_from(["web1", "db1"]))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_as_ssh_reads_it(main: list[str], extra: list[str], host: str, write: Write) -> None:
    """Lines in any order, and a file that is included anywhere, mean what they mean to `ssh -G`."""
    # ssh finds ~/.ssh by the account, not by HOME.
    included = write("\n".join(line for line in extra if not line.startswith("Include")) + "\n", "extra")
    text = "\n".join(main).replace("Include extra", f"Include {included}")
    agrees(write(text + "\n"), host)


@pytest.mark.needs("ssh")
def test_every_keyword_of_ssh_is_known(write: Write) -> None:
    """Every keyword that this machine's ssh has is honoured, refused or passed over on purpose."""
    keywords = {keyword.lower() for keyword in oracle(write(""), "web1")}
    assert keywords - {"host"} <= KNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"e # f", ["a b", "c de"]),
        ("a#b #c", ["a#b"]),
        (r"a\ b \"c\\ 'd\ e'", ["a b", '"c\\', r"d\ e"]),
        ('"" x', ["", "x"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Quotes, backslashes and comments are those of ssh."""
    assert list(split(text)) == expected


# What it includes.


def test_include(write: Write, home: Path) -> None:
    """Included files are found by pattern, from ~/.ssh on, and hold within the block that includes them."""
    write("Port 5\nHost web1\nUser one\n", "conf.d/1")
    write("Host web2\nUser two\n", "conf.d/2")
    elsewhere = write("ConnectTimeout 7\n", "../elsewhere")
    path = write(
        f"Host web*\nInclude conf.d/* missing\nInclude ~/elsewhere {elsewhere}\nHostKeyAlias x\nHost db1\nPort 9\n"
    )

    assert texts(path, "web1") == {"port": "5", "user": "one", "login_timeout": "7s", "host_key_alias": "x"}
    assert texts(path, "web2") == {"port": "5", "user": "two", "login_timeout": "7s", "host_key_alias": "x"}
    assert texts(path, "db1") == {"port": "9"}


def test_include_itself(write: Write) -> None:
    """A file that includes itself comes to an end."""
    path = write("Include config\n")
    assert problems(path) == [f"{path}:1: Include: more than 16 files that include each other; take one away"]


def test_many_hosts(write: Write) -> None:
    """A file with thousands of hosts does not make each of thousands of machines look at all of them."""
    path = write("".join(f"Host web{number}\nPort {number}\n" for number in range(1, 5001)) + "Host *\nUser me\n")
    configs, problems = SshConfigs(), Problems()
    found = [configs.texts(path, f"web{number}", problems)["port"].text for number in range(1, 5001)]
    assert found == [str(number) for number in range(1, 5001)]
    about = configs._read[path].about("web77")
    assert len(list(about)) == 3


# Files.


def test_first_key_that_is_there(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several IdentityFile the first that is there counts, with ~, tokens and variables; else the first."""
    ssh = home / ".ssh"
    write("", "id_web1_joe"), write("", "id_7")
    monkeypatch.setenv("WHICH", "7")
    path = write(
        "User joe\nIdentityFile ~/.ssh/missing\nIdentityFile ~/.ssh/id_%n_%r\nIdentityFile ~/.ssh/id_${WHICH}\n"
    )
    assert texts(path, "web1")["key_file"] == f"{ssh}/id_web1_joe"
    assert texts(path, "web1", user="ann")["key_file"] == f"{ssh}/id_7"
    (ssh / "id_7").unlink()
    assert texts(path, "web2")["key_file"] == f"{ssh}/missing"
    assert texts(write("CertificateFile %d/.ssh/known_hosts\n"))["certificate_file"] == f"{ssh}/known_hosts"


def test_usual_key(write: Write, home: Path) -> None:
    """Where the file names no key it is the first of ssh's usual ones that is there, our own default before others."""
    path = write("")
    write("", "id_rsa")
    assert texts(path) == {}
    (home / ".ssh" / "id_ed25519").unlink()
    assert texts(path) == {"key_file": f"{home}/.ssh/id_rsa"}


def test_known_hosts(write: Write, home: Path) -> None:
    """The person's known hosts and the machine's are looked in, those that are there."""
    ssh = home / ".ssh"
    for name in ("mine", "web1", "all"):
        write("", name)
    path = write("UserKnownHostsFile ~/.ssh/mine ~/.ssh/missing ~/.ssh/%n\nGlobalKnownHostsFile ~/.ssh/all\n")
    assert texts(path)["known_hosts"] == f"{ssh}/mine, {ssh}/web1, {ssh}/all"
    path = write("UserKnownHostsFile none\nGlobalKnownHostsFile ~/.ssh/missing\n")
    assert texts(path)["known_hosts"] == f"{ssh}/missing"
    path = write("GlobalKnownHostsFile ~/.ssh/all\n")
    assert texts(path)["known_hosts"] == f"{ssh}/known_hosts, {ssh}/all"


@pytest.mark.parametrize(
    ("command", "jump"),
    [("ssh -W %h:%p bastion", "bastion"), ("ssh -q me@bastion -W %h:%p", "me@bastion"), ("none", None)],
)
def test_proxy_command_that_is_a_jump(command: str, jump: str | None, write: Write) -> None:
    """The ProxyCommand of older days that runs ssh -W is the ProxyJump that it means."""
    assert texts(write(f"ProxyCommand {command}\n")).get("jump") == jump


# What is refused.

REFUSED = {
    "Match exec true\nPort 3\n": "1: Match: Match exec is never run; write Host or Match host instead; or write",
    "Match host web1 exec touch\n": "1: Match: Match exec is never run; write Host or Match host instead; or write",
    "Match localnetwork 10.0.0.0/8\n": "1: Match: cannot tell whether 'localnetwork' is so; write Host or Match host",
    "ProxyCommand nc %h %p\n": "1: ProxyCommand: no command is run; write ProxyJump, or jump in collector.ini; or",
    "CanonicalizeHostname yes\n": "1: CanonicalizeHostname: would ask name servers; write HostName with the whole name",
    "RevokedHostKeys ~/x\n": "1: RevokedHostKeys: is not read; write the keys into known_hosts as lines that begin",
    "KnownHostsCommand /bin/x\n": "1: KnownHostsCommand: is not run; write the keys into a file, and UserKnownHosts",
    "PKCS11Provider /lib/x.so\n": "1: PKCS11Provider: a key on a token cannot be used; make one with ssh-keygen, and",
    "BindInterface vpn0\n": "1: BindInterface: the collector leaves the choice of a network to the kernel; make a",
    "BindAddress 192.0.2.1\n": "1: BindAddress: the collector leaves the choice of an address to the kernel; make a",
    "RequiredRSASize 3072\n": "1: RequiredRSASize: the keys in known_hosts are not measured; take those away that are",
    "CASignatureAlgorithms ssh-ed25519\n": "1: CASignatureAlgorithms: the collector takes ssh-ed25519, ecdsa-sha2-",
    "IdentityFile none\n": "1: IdentityFile: IdentityFile none leaves no key; write key_file or password_file in",
    "UserKnownHostsFile none\nGlobalKnownHostsFile none\n": "1: UserKnownHostsFile: no known hosts at all, so that",
    "IdentityFile ~/%C\n": "1: IdentityFile: %C has no value here; write what it stands for",
    "IdentityFile ~/${NO_SUCH}\n": "1: IdentityFile: ${NO_SUCH} is not set; set it, or write the value",
    "ConnectTimeout soon\n": "1: ConnectTimeout: not a time: 'soon'; write seconds",
    "Hostnam x\n": "1: Hostnam: unknown; did you mean hostname?",
    'User "joe\n': '1: User: a quote without its end; put a " there',
    '"Port" 3\n': "1: does not begin with a keyword; write one, or take the line away",
    "Host web1\nUser\n": "2: User: has no value; write one, or take the line away",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text: str, write: Write) -> None:
    """What cannot be honoured and matters, and what cannot be read, is an error with its line, and with what to do."""
    path = write(text)
    (said,) = problems(path)
    assert said.startswith(f"{path}:{REFUSED[text]}")


def test_only_what_applies_counts(write: Write) -> None:
    """What would be refused for one host is nothing to another; values that do no harm are none either."""
    text = "".join(f"Host db1\n{text}" for text in REFUSED if "Match" not in text and "Hostnam" not in text)
    path = write("".join(line for line in text.splitlines(True) if '"' not in line and line != "User\n"))
    assert texts(path, "web1") == {}
    harmless = "CanonicalizeHostname no\nRevokedHostKeys none\nKnownHostsCommand none\nPKCS11Provider none\n"
    more = "RequiredRSASize 1024\nCASignatureAlgorithms ^ssh-ed25519\nProxyCommand none\nVerifyHostKeyDNS yes\n"
    assert texts(write(harmless + more)) == {}


def test_match_exec_is_not_run(write: Write, tmp_path: Path) -> None:
    """A command in the file is never run, whatever option it stands in."""
    mark = tmp_path / "run"
    path = write(f'Match exec "touch {mark}"\nPort 3\nHost *\nProxyCommand touch {mark}\nLocalCommand touch {mark}\n')
    assert len(problems(path)) == 2
    assert not mark.exists()


def test_file_that_others_may_write(write: Write) -> None:
    """A file that others may write to is refused, as ssh does."""
    path = write("Port 3\n")
    path.chmod(0o664)
    assert problems(path) == [f"{path}: others may write to it, and ssh would refuse it; chmod go-w {path}"]


@pytest.mark.needs("root")
def test_file_of_another_user(write: Write) -> None:
    """A file of another user, who could change it at any time, is refused, as ssh does; one of root is not."""
    path = write("Port 3\n")
    os.chown(path, 65534, 65534)
    assert problems(path) == [f"{path}: is another user's, and ssh would refuse it; chown root {path}"]


# In collector.ini.


def test_collector_ini_goes_first(write: Write, home: Path, tmp_path: Path) -> None:
    """What collector.ini says, at any level, goes before ssh_config, and that before what holds by default."""
    write("Host web1\nHostName 192.0.2.10\nUser joe\nPort 2222\nConnectTimeout 5\nCiphers aes256-ctr\n")
    base = "[defaults]\nssh_config = ~/.ssh/config\n[web1]\nhost = web1\n"
    machine = one(tmp_path, base)
    assert (machine.name, machine.host, machine.port, machine.user) == ("web1", "192.0.2.10", 2222, "joe")
    assert (machine.login_timeout, machine.ciphers) == (5.0, ("aes256-ctr",))
    assert one(tmp_path, base + "port = 22\n").port == 22
    assert one(tmp_path, f"[collector]\nlogin_timeout = 9s\n{base}").login_timeout == 9.0
    assert one(tmp_path, base.replace("[web1]", "user = ann\n[web1]")).user == "ann"
    off = one(tmp_path, base + "ssh_config = none\n")
    assert (off.host, off.port) == ("web1", 22)


def test_user_of_collector_ini_is_matched(write: Write, tmp_path: Path) -> None:
    """`Match user` and %r see the user that collector.ini sets, as `ssh -l` does."""
    write("Match user ann\nPort 7\nHost *\nUser joe\n")
    text = "[defaults]\nssh_config = ~/.ssh/config\n[web1]\nhost = web1\nuser = ann\n"
    assert one(tmp_path, text).port == 7


def failures(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with a collector.ini."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    return caught.value.problems


def test_problems_name_the_line_of_ssh_config(write: Write, tmp_path: Path) -> None:
    """What is wrong is told where it stands, once for all machines, behind what is wrong with collector.ini itself."""
    path = write("Host web*\nPort 0\nProxyCommand nc\nIdentityFile /nowhere\n")
    base = "[defaults]\nssh_config = ~/.ssh/config\n[web1]\nhost = web1\n[web2]\nhost = web2\n"
    key = "IdentityFile: /nowhere: No such file or directory; make a key with"
    found = failures(tmp_path, base + "prot = 1\n")
    assert found[0].startswith(f"{tmp_path}/collector.ini:7: [web2] prot: unknown option")
    assert found[1] == f"{path}:2: Port: not a whole number from 1 to 65535: '0'; write one"
    assert found[-1].startswith(f"{path}:4: {key}")
    missing = failures(tmp_path, base.replace(".ssh/config", "missing"))
    assert missing[0].startswith(
        f"{tmp_path}/collector.ini:2: [defaults] ssh_config: {path.parents[1]}/missing: No such"
    )


def test_file_that_is_not_there(home: Path, tmp_path: Path) -> None:
    """Where ssh_config is not there, the usual key is not missed: perhaps another one would be named in it."""
    (home / ".ssh" / "id_ed25519").unlink()

    (found,) = failures(tmp_path, "[web1]\nhost = web1\nssh_config = ~/missing\n")

    assert found.startswith(f"{tmp_path}/collector.ini:3: [web1] ssh_config: {home}/missing: No such file")


def test_key_of_a_jump_host(write: Write, home: Path, tmp_path: Path) -> None:
    """Where a jump host has no key, that is told of the line which names it."""
    file = write("Host web1\n    IdentityFile ~/.ssh/id_ed25519.old\n    ProxyJump hop\n")
    (home / ".ssh" / "id_ed25519").rename(home / ".ssh" / "id_ed25519.old")

    (found,) = failures(tmp_path, f"[web1]\nhost = web1\nssh_config = {file}\n")

    assert found.startswith(f"{file}:3: ProxyJump: {home}/.ssh/id_ed25519: No such file or directory; make a key")


def test_disabled_machine_is_not_looked_up(write: Write, tmp_path: Path) -> None:
    """A machine that is not enabled is not looked up."""
    write("Match exec x\n")
    text = "[defaults]\nssh_config = ~/.ssh/config\n[web1]\nhost = web1\nenabled = no\n"
    assert loaded(tmp_path, text).machines == ()


def test_what_works_for_ssh_works_here(shared_sshd: Any, write: Write, tmp_path: Path) -> None:
    """Where `ssh web1` logs in, `ssh_config` and `host = web1` are all that a machine needs."""
    there = shared_sshd.login("bash")
    path = write(
        f"Host web1\n  HostName {there['host']}\n  Port {there['port']}\n  User bash\n"
        f"  IdentityFile {there['key_file']}\n"
        f"Host *\n  UserKnownHostsFile {there['known_hosts'][0]}\n  IdentitiesOnly yes\n  HashKnownHosts yes\n"
    )
    argv = [program("ssh"), "-F", str(path), "-o", "BatchMode=yes", "web1", "whoami"]
    assert subprocess.check_output(argv, stdin=subprocess.DEVNULL, text=True) == "bash\n"

    machine = one(tmp_path, "[defaults]\nssh_config = ~/.ssh/config\n[web1]\nhost = web1\n")
    post = man(machine, Connector(Identities(), logins=1))
    try:
        assert visit(post).failure is None
    finally:
        post.session.close()


# Jump hosts of ssh_config.

CHAIN = """\
Host web1 web2
    HostName 192.0.2.10
    User ann
    ProxyJump inner
Host inner
    HostName 192.0.2.2
    Port 2222
    ProxyJump joe@outer:2200
Host outer
    HostName 192.0.2.3
    User nobody
    Port 1
    IdentityFile ~/.ssh/outer
"""


def test_the_way_is_that_of_ssh(tmp_path: Path, write: Write) -> None:
    """Each jump host is looked up by itself, and its own jump comes before it; it takes nothing of the machine."""
    write("", "outer")
    config = loaded(
        tmp_path, f"[defaults]\nuser = me\nssh_config = {write(CHAIN)}\nlogin_timeout = 7s\n[web1]\nhost = web1\n"
    )

    (machine,) = config.machines
    outer, inner = machine.jumps
    assert ("192.0.2.10", "me", 22) == (machine.host, machine.user, machine.port)
    assert ("inner", "192.0.2.2", "me", 2222) == (inner.name, inner.host, inner.user, inner.port)
    assert ("joe@outer:2200", "192.0.2.3", "joe", 2200) == (outer.name, outer.host, outer.user, outer.port)
    assert ["id_ed25519", "id_ed25519", "outer"] == [one.key_file.name for one in (machine, inner, outer)]
    assert {7.0} == {one.login_timeout for one in (machine, inner, outer)}


def test_a_jump_in_the_ini_goes_before(tmp_path: Path, write: Write) -> None:
    """`jump` in collector.ini goes before ProxyJump; its hops are looked up in ssh_config too, by a section's host."""
    write("", "outer")
    config = loaded(
        tmp_path,
        f"[defaults]\nuser = me\nssh_config = {write(CHAIN)}\n[web1]\nhost = web1\njump = none\n"
        "[web2]\nhost = web2\njump = outer:22\n[web3]\nhost = web1\njump = bastion\n"
        "[bastion]\nhost = outer\nenabled = no\n",
    )

    ways = {machine.name: [(hop.name, hop.host, hop.port) for hop in machine.jumps] for machine in config.machines}
    assert {
        "web1": [],
        "web2": [("outer:22", "192.0.2.3", 22)],
        "web3": [("bastion", "192.0.2.3", 1)],
    } == ways


def test_a_circle_in_ssh_config(tmp_path: Path, write: Write) -> None:
    """A ProxyJump that leads back is refused where it stands."""
    file = write("Host web1\n    ProxyJump a\nHost a\n    ProxyJump b\nHost b\n    ProxyJump a\n")

    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, f"[web1]\nhost = web1\nuser = me\nssh_config = {file}\n")

    (problem,) = refused.value.problems
    assert problem.startswith(f"{file}:6: ProxyJump: goes round in a circle: a, b, a")
