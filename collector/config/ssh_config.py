"""The person's ssh_config: what it says of a host, as texts of our own options (ssh_config(5)).

A reader of our own: paramiko's knows no Include and no lines, and runs what `Match exec` says. Here nothing is run and
no name is looked up. What matters for safety and cannot be honoured is a problem; only what applies to the host counts.
"""

import fnmatch
import getpass
import glob
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from collector.config.algorithms import ALGORITHMS
from collector.config.problems import Place, Problems, nearest, quoted

DEEPEST = 16
"""Files that include each other in a row, as in ssh."""

SPECIAL = re.compile(r"[\"'\\#]")
WILD = re.compile(r"[*?!]")
LINE = re.compile(r"(?P<keyword>[^\s=\"]+)(?:\s*=\s*|\s+|$)(?P<rest>.*)")
TIME = re.compile(r"(?:[0-9]+[smhdw]?)+", re.IGNORECASE)
TIME_PART = re.compile(r"([0-9]+)([smhdw]?)", re.IGNORECASE)
TOKEN = re.compile(r"%(?P<token>.?)(?P<name>(?!))?")
TOKEN_OR_VARIABLE = re.compile(r"%(?P<token>.?)|\$\{(?P<name>[^}]*)\}")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
OVER_SSH = re.compile(
    r"(?:/usr/bin/)?ssh (?:-q )?(?:-W (?:%h:%p|\[%h\]:%p) (?P<last>[^-\s]\S*)|(?P<first>[^-\s]\S*) -W %h:%p)"
)
"""A ProxyCommand that is a ProxyJump in the words of older days."""

SSH = Path("~/.ssh")
IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_rsa", "~/.ssh/id_ecdsa")
USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

SEVERAL = ("identityfile", "certificatefile")
"""Keywords of which every line counts; of the others it is the first."""
PLAIN = {
    "port": "port",
    "user": "user",
    "hostkeyalias": "host_key_alias",
    "kexalgorithms": "kex_algorithms",
    "ciphers": "ciphers",
    "macs": "macs",
    "hostkeyalgorithms": "host_key_algorithms",
}
"""Keywords whose values are those of an option of ours."""
OTHERS = (
    *("hostname", "identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile"),
    *("proxyjump", "proxycommand", "connecttimeout"),
)

OFF = "; or write ssh_config = none for this machine in collector.ini"
DANGERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "bindaddress": (
        (),
        "the collector leaves the choice of an address to the kernel; make a route, and take this away",
    ),
    "bindinterface": (
        (),
        "the collector leaves the choice of a network to the kernel; make a route, and take this away",
    ),
    "canonicalizehostname": (
        ("no", "false"),
        "would ask name servers; write HostName with the whole name, and no here",
    ),
    "knownhostscommand": (("none",), "is not run; write the keys into a file, and UserKnownHostsFile with its name"),
    "pkcs11provider": (("none",), "a key on a token cannot be used; make one with ssh-keygen, and take this away"),
    "revokedhostkeys": (("none",), "is not read; write the keys into known_hosts as lines that begin with @revoked"),
}
"""Keywords that would do harm if they were passed over: the values that do none, and what to do."""

SILENT = frozenset(
    re.findall(
        r"\w+",
        """
        addkeystoagent addressfamily batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
        canonicalizepermittedcnames challengeresponseauthentication channeltimeout checkhostip cipher
        clearallforwardings compression connectionattempts controlmaster controlpath controlpersist
        dsaauthentication dynamicforward enableescapecommandline enablesshkeysign escapechar
        exitonforwardfailure fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout
        forwardx11trusted gatewayports gssapiauthentication gssapiclientidentity gssapidelegatecredentials
        gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns
        hashknownhosts hostbasedacceptedalgorithms hostbasedauthentication hostbasedkeytypes identitiesonly
        identityagent ignoreunknown ipqos kbdinteractiveauthentication kbdinteractivedevices keepalive
        localcommand localforward loglevel logverbose nohostauthenticationforlocalhost numberofpasswordprompts
        obscurekeystroketiming passwordauthentication permitlocalcommand permitremoteopen
        preferredauthentications protocol proxyusefdpass pubkeyacceptedalgorithms pubkeyacceptedkeytypes
        pubkeyauthentication refuseconnection rekeylimit remotecommand remoteforward requesttty
        rhostsauthentication rhostsrsaauthentication rsaauthentication securitykeyprovider sendenv
        serveralivecountmax serveraliveinterval sessiontype setenv skeyauthentication stdinnull
        streamlocalbindmask streamlocalbindunlink stricthostkeychecking syslogfacility tag tcpkeepalive tunnel
        tunneldevice updatehostkeys useprivilegedport verifyhostkeydns versionaddendum visualhostkey
        warnweakcrypto xauthlocation
        """,
    )
)
"""Keywords that are passed over: the collector is stricter, never does it, or does it in its own way."""

KNOWN = {*PLAIN, *OTHERS, *DANGERS, *SILENT, "requiredrsasize", "casignaturealgorithms"}


class Said(NamedTuple):
    """What ssh_config says for an option of ours, and where; a `fault` is a problem if collector.ini is silent."""

    place: Place
    text: str
    fault: str = ""


class Line(NamedTuple):
    """A keyword (in lower case) and its words."""

    place: Place
    keyword: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A line with Host or Match."""

    line: Line

    @property
    def names(self) -> tuple[str, ...]:
        """The only hosts that it can be true of; none if they cannot be told."""
        words = self.line.words if self.line.keyword == "host" else ("*",)
        return () if set("".join(words)) & set("*?!") else words


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that hold if all the conditions do."""

    conditions: tuple[Condition, ...]
    lines: list[Line] = field(default_factory=list)


class SshConfig:
    """An ssh_config with all that it includes."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self._of: dict[str, list[int]] = {}
        self._general: list[int] = []
        for number, block in enumerate(blocks):
            names = next((condition.names for condition in block.conditions if condition.names), ())
            for name in names:
                self._of.setdefault(name, []).append(number)
            if not names:
                self._general.append(number)

    def about(self, host: str) -> Iterator[Block]:
        """Yield the blocks that may be about a host, in order: those that only name others are not even looked at."""
        for number in sorted({*self._of.get(host, ()), *self._general}):
            yield self.blocks[number]


class Here:
    """This machine and its user. What a fleet of hosts asks time and again is worked out once."""

    def __init__(self) -> None:
        self.home = os.path.expanduser("~")
        self.name = socket.gethostname()
        self.uid = str(os.getuid())
        try:
            self.user = getpass.getuser()
        except (KeyError, OSError):
            self.user = ""
        self.has = cache(os.path.exists)
        self.path = cache(self._path)

    def _path(self, text: str) -> str:
        """Return a path whose ~ is a home, and which begins at ours."""
        return os.path.join(self.home, os.path.expanduser(text))


class SshConfigs:
    """The files that a configuration names, each read once."""

    def __init__(self) -> None:
        self._here = Here()
        self._read: dict[Path, SshConfig] = {}

    def texts(self, file: Path, host: str, problems: Problems, user: str = "", port: str = "") -> dict[str, Said]:
        """Return what a file says of a host, by our options; `user` and `port` are those that are set elsewhere."""
        if file not in self._read:
            self._read[file] = SshConfig(list(_Reader(problems).blocks(file)))
        return Lookup(self._read[file], host, user, port, problems, here=self._here).texts(file)


class _Reader:
    """Reads a file and those that it includes. `problems` gets what is wrong in them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._unknown: list[str] = []

    def blocks(self, file: Path, within: tuple[Condition, ...] = (), depth: int = 1) -> Iterator[Block]:
        """Yield the blocks of a file, which hold if all of `within` does."""
        block = Block(within)
        for line in _lines(file, self._problems):
            if line.keyword in ("host", "match"):
                yield block
                block = Block((*within, Condition(line)))
            elif line.keyword == "include":
                yield block
                yield from self._included(line, block.conditions, depth)
                block = Block(block.conditions)
            elif line.keyword in KNOWN:
                block.lines.append(line)
                self._unknown += ",".join(line.words).lower().split(",") if line.keyword == "ignoreunknown" else []
            elif not _fits(self._unknown, line.keyword):
                self._problems.append((line.place, f"unknown; {nearest(line.keyword, KNOWN)}"))
        yield block

    def _included(self, line: Line, within: tuple[Condition, ...], depth: int) -> Iterator[Block]:
        """Yield the blocks of the files that a line names; none is well."""
        if depth >= DEEPEST:
            self._problems.append((line.place, f"more than {DEEPEST} files that include each other; take one away"))
            return
        for pattern in line.words:
            for name in sorted(glob.glob(str(SSH.expanduser() / os.path.expanduser(pattern)))):
                yield from self.blocks(Path(name), within, depth + 1)


def _lines(file: Path, problems: Problems) -> Iterator[Line]:
    """Yield the lines of a file that say something."""
    try:
        status = file.stat()
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        problems.append((Place(file), f"cannot be read: {error.strerror}; let the collector read it, or take it away"))
        return
    if status.st_uid not in (0, os.getuid()):
        problems.append((Place(file), f"is another user's, and ssh would refuse it; chown root {file}"))
    if status.st_mode & 0o022:
        problems.append((Place(file), f"others may write to it, and ssh would refuse it; chmod go-w {file}"))
    for number, written in enumerate(text.splitlines(), 1):
        if not written.strip() or written.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(written.strip())
        if not match:
            problems.append((Place(file, number), "does not begin with a keyword; write one, or take the line away"))
            continue
        place = Place(file, number, option=match["keyword"])
        try:
            words = tuple(split(match["rest"]) if SPECIAL.search(match["rest"]) else match["rest"].split())
        except ValueError as error:
            problems.append((place, str(error)))
            continue
        if words:
            yield Line(place, match["keyword"].lower(), words)
        else:
            problems.append((place, "has no value; write one, or take the line away"))


def split(text: str) -> Iterator[str]:
    """Yield the words of a line up to a comment; quotes and backslashes as ssh has them. Raises ValueError."""
    position = 0
    while (rest := text[position:].lstrip(" \t")) and not rest.startswith("#"):
        position = len(text) - len(rest)
        word, quote = "", ""
        while position < len(text) and (quote or text[position] not in " \t"):
            letter, after = text[position], text[position + 1 : position + 2]
            if letter == "\\" and (after in ("'", '"', "\\") or (after == " " and not quote)) and after:
                word += after
                position += 1
            elif letter == quote or (not quote and letter in "'\""):
                quote = "" if quote else letter
            else:
                word += letter
            position += 1
        if quote:
            raise ValueError(f"a quote without its end; put a {quote} there")
        yield word


class Lookup:
    """What applies to one host."""

    def __init__(self, config: SshConfig, host: str, user: str, port: str, problems: Problems, *, here: Here) -> None:
        self._here = here
        self._host = host
        self._user = user
        self._port = port
        self._problems = problems
        self._wants_final = False
        self._said: dict[str, list[Line]] = {}
        self._pass(config, final=False)
        if self._wants_final:
            self._pass(config, final=True)

    def _pass(self, config: SshConfig, final: bool) -> None:
        """Go through the file as ssh does: what is said first counts, and Match asks for what was said by then."""
        holds: dict[Condition, bool] = {}
        for block in config.about(self._named(final)):
            for condition in block.conditions:
                if condition not in holds:
                    holds[condition] = self._holds(condition.line, final)
                if not holds[condition]:
                    break
            else:
                for line in block.lines:
                    # Before its second pass ssh settles which host it is.
                    if not (final and line.keyword == "hostname"):
                        self._say(line)

    def _say(self, line: Line) -> None:
        # Of ProxyJump and ProxyCommand it is the first that counts.
        keyword = "proxy" if line.keyword in ("proxyjump", "proxycommand") else line.keyword
        said = self._said.setdefault(keyword, [])
        if not said or (keyword in SEVERAL and line.words not in [other.words for other in said]):
            said.append(line)

    def _holds(self, line: Line, final: bool) -> bool:
        return _fits(line.words, self._named(final)) if line.keyword == "host" else self._matches(line, final)

    def _named(self, final: bool) -> str:
        """Return what Host goes by: the name that was given, and in a second pass the one that HostName made of it."""
        return self.host_name if final else self._host

    def _matches(self, line: Line, final: bool) -> bool:
        """Tell whether all criteria of a Match are met; those after one that is not are not looked at."""
        words = [
            part for word in line.words for part in (word.split("=", 1) if re.match(r"!?[a-z]+=", word) else [word])
        ]
        left = iter(words)
        for word in left:
            negated, criterion = word.startswith("!"), word.lstrip("!").lower()
            match criterion:
                case "all":
                    met = True
                case "canonical" | "final":
                    self._wants_final |= criterion == "final"
                    met = final
                case "host" | "originalhost" | "user" | "localuser":
                    met = self._meets(criterion, next(left, ""))
                case "exec":
                    self._problems.append(
                        (line.place, f"Match exec is never run; write Host or Match host instead{OFF}")
                    )
                    return False
                case _:
                    text = f"cannot tell whether {quoted(word)} is so; write Host or Match host instead{OFF}"
                    self._problems.append((line.place, text))
                    return False
            if met == negated:
                return False
        return True

    def _meets(self, criterion: str, patterns: str) -> bool:
        if criterion in ("user", "localuser"):
            return _fits(patterns.split(","), self.user if criterion == "user" else self._here.user)
        host = self.host_name if criterion == "host" else self._host
        return _fits(patterns.lower().split(","), host.lower())

    def _first(self, keyword: str, default: str = "") -> str:
        return self._said[keyword][0].words[0] if keyword in self._said else default

    @property
    def user(self) -> str:
        """Who logs in, by what is known so far."""
        return self._user or self._first("user") or self._here.user

    @property
    def host_name(self) -> str:
        """The host's name, by what is known so far."""
        with suppress(ValueError):
            return expanded(self._first("hostname", self._host), {"h": self._host})
        return self._host

    def texts(self, file: Path) -> dict[str, Said]:
        """Return the texts of our options, and note what would do harm if it were passed over."""
        self._note_dangers()
        found = {PLAIN[keyword]: _plain(lines[0]) for keyword, lines in self._said.items() if keyword in PLAIN}
        made = {
            "host": self._made("hostname", lambda words: expanded(words[0], {"h": self._host})),
            "key_file": self._key_file(file),
            "certificate_file": self._file("certificatefile"),
            "known_hosts": self._known_hosts(file),
            "jump": self._jump(),
            "login_timeout": self._timeout(),
        }
        return found | {option: said for option, said in made.items() if said}

    def _note_dangers(self) -> None:
        for keyword in self._said.keys() & DANGERS.keys():
            harmless, text = DANGERS[keyword]
            if self._first(keyword).lower() not in harmless:
                self._problems.append((self._said[keyword][0].place, text + OFF))
        size = self._first("requiredrsasize", "0")
        if not size.isdigit() or int(size) > 1024:
            text = f"the keys in known_hosts are not measured; take those away that are too short, and this{OFF}"
            self._problems.append((self._said["requiredrsasize"][0].place, text))
        signatures = self._first("casignaturealgorithms", "+")
        if _restricts(signatures):
            text = (
                f"the collector takes {', '.join(ALGORITHMS['host_key_algorithms'].usual)}; name all of them too{OFF}"
            )
            self._problems.append((self._said["casignaturealgorithms"][0].place, text))

    def _made(self, keyword: str, make: Callable[[Sequence[str]], str]) -> Said | None:
        """Return what is made of a keyword's words, or what is wrong with them; None if it is not there."""
        if keyword not in self._said:
            return None
        line = self._said[keyword][0]
        try:
            return Said(line.place, make(line.words))
        except ValueError as error:
            return Said(line.place, "", str(error))

    def _path(self, text: str) -> str:
        if "%" in text or "$" in text:
            return self._here.path(expanded(text, self._tokens(), environment=True))
        return self._here.path(text)

    def _tokens(self) -> dict[str, str]:
        here = self._here
        return {
            "d": here.home,
            "h": self.host_name,
            "i": here.uid,
            "k": self._first("hostkeyalias", self._host),
            "L": here.name.partition(".")[0],
            "l": here.name,
            "n": self._host,
            "p": self._port or self._first("port", "22"),
            "r": self.user,
            "u": here.user,
        }

    def _file(self, keyword: str) -> Said | None:
        """Return the first file of a keyword that is there, or the first one if none is."""
        said = None
        for line in self._said.get(keyword, ()):
            if line.words[0].lower() == "none":
                continue
            try:
                path = self._path(line.words[0])
            except ValueError as error:
                return Said(line.place, "", str(error))
            if self._here.has(path):
                return Said(line.place, path)
            said = said or Said(line.place, path)
        return said

    def _key_file(self, file: Path) -> Said | None:
        if "identityfile" in self._said:
            none = "IdentityFile none leaves no key; write key_file or password_file in collector.ini"
            return self._file("identityfile") or Said(self._said["identityfile"][0].place, "", none)
        there = next((path for path in map(self._here.path, IDENTITIES) if self._here.has(path)), "")
        return Said(Place(file), there) if there and there != self._here.path(IDENTITIES[0]) else None

    def _known_hosts(self, file: Path) -> Said | None:
        """Return the person's files and the machine's that are there, or the first one if none is."""
        place = Place(file)
        paths: list[str] = []
        try:
            for keyword, usual in (
                ("userknownhostsfile", USER_KNOWN_HOSTS),
                ("globalknownhostsfile", GLOBAL_KNOWN_HOSTS),
            ):
                if keyword in self._said:
                    place = self._said[keyword][0].place if not place.line else place
                named = self._said[keyword][0].words if keyword in self._said else usual
                paths += [self._path(word) for word in named if word.lower() != "none"]
        except ValueError as error:
            return Said(place, "", str(error))
        there = [path for path in paths if self._here.has(path)] or paths[:1]
        if not there:
            return Said(place, "", "no known hosts at all, so that every machine would be refused; name a file")
        usual_alone = not place.line and there == [self._here.path(USER_KNOWN_HOSTS[0])]
        return None if usual_alone else Said(place, ", ".join(there))

    def _jump(self) -> Said | None:
        if "proxy" not in self._said or self._said["proxy"][0].words == ("none",):
            return None
        line = self._said["proxy"][0]
        text = " ".join(line.words)
        if line.keyword == "proxycommand":
            over = OVER_SSH.fullmatch(text)
            if not over:
                return Said(line.place, "", f"no command is run; write ProxyJump, or jump in collector.ini{OFF}")
            text = over["first"] or over["last"]
        return self._made("proxy", lambda words: expanded(text, self._tokens()))

    def _timeout(self) -> Said | None:
        seconds = self._made("connecttimeout", lambda words: duration(words[0]))
        return None if seconds and seconds.text == "0s" else seconds


def _plain(line: Line) -> Said:
    return Said(line.place, line.words[0])


def _fits(patterns: Iterable[str], name: str) -> bool:
    """Tell whether a pattern of ssh fits (only * and ? are special), and none that begins with ! does."""
    found = False
    for pattern in patterns:
        if pattern == name or (WILD.search(pattern) and _expression(pattern.removeprefix("!")).fullmatch(name)):
            if pattern.startswith("!"):
                return False
            found = True
    return found


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern))


def _restricts(text: str) -> bool:
    """Tell whether a list of signature algorithms leaves out one that the collector takes."""
    names = text.lstrip("-").split(",")
    ours = [any(fnmatch.fnmatchcase(one, name) for name in names) for one in ALGORITHMS["host_key_algorithms"].usual]
    return any(ours) if text.startswith("-") else not text.startswith(("+", "^")) and not all(ours)


def expanded(text: str, tokens: Mapping[str, str], environment: bool = False) -> str:
    """Replace %h and the like, and ${NAME}. Raises ValueError: one has no value here."""

    def value(match: re.Match[str]) -> str:
        if (name := match["name"]) is not None:
            if name not in os.environ:
                raise ValueError(f"${{{name}}} is not set; set it, or write the value")
            return os.environ[name]
        if match["token"] not in tokens:
            raise ValueError(f"%{match['token']} has no value here; write what it stands for")
        return tokens[match["token"]]

    tokens = {**tokens, "%": "%"}
    return (TOKEN_OR_VARIABLE if environment else TOKEN).sub(value, text) if "%" in text or "$" in text else text


def duration(text: str) -> str:
    """Return the time of ssh (`30`, `1m30s`, `1D`, `none`) as ours, `30s`. Raises ValueError."""
    if text.lower() == "none":
        return "0s"
    if not TIME.fullmatch(text):
        raise ValueError(f"not a time: {quoted(text)}; write seconds")
    return f"{sum(int(number) * SECONDS[unit.lower()] for number, unit in TIME_PART.findall(text))}s"
