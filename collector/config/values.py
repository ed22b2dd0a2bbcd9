"""Texts of options -> values. Each converter takes the text and raises ValueError with what is wrong and what to do."""

import ipaddress
import os
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

from collector.config.algorithms import ALGORITHMS, Algorithms, chosen
from collector.config.problems import nearest, quoted
from collector.metric import NAME

Converters = Mapping[str, Callable[[str], Any]]
"""From the name of an option to what makes its value. Many machines say the same: each text is worked out once."""

HOUR, DAY = 3600, 86_400
MAY_BE_LISTS = ("gather", "host_key", "include", "jump", "known_hosts", "labels", "files", "label_values", *ALGORITHMS)
MAY_HAVE_LINES = ("command",)
"""What is a text of one line or more."""
MAY_BE_QUOTED = ("command", "pattern", "each", "value", "help")
"""What may begin with a quote, which is a part of it."""
SWITCH = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False, "1": True, "0": False}

DURATION = re.compile(
    r"(?:(?P<d>N)d)?(?:(?P<h>N)h)?(?:(?P<m>N)m)?(?:(?P<s>N)s)?(?:(?P<ms>N)ms)?|(?P<plain>N)".replace(
        "N", r"[0-9]+(?:\.[0-9]+)?"
    )
)
SECONDS = {
    "d": Decimal(86_400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "plain": Decimal(1),
}
WHOLE = re.compile(r"[0-9]{1,9}")
WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,254}}\Z){WORD}(?:\.{WORD})*\.?")
NUMERIC = re.compile(r"(?:.*\.)?[0-9]+\.?")
SHA256 = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
MD5 = re.compile(r"(?:MD5:)?[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15}")
ALIAS = re.compile(r"[^\s,*?!|#@]+")
BARE = r'[^\s"=,#](?:[^"=,#]*[^\s"=,#])?'
LABEL = re.compile(rf'\s*(?P<name>[^\s=,"]+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>{BARE}))\s*(?:,|\Z)')


def collector_converters(folder: Path, credentials: Path | None) -> Converters:
    """Return the options of [collector] in a file of `folder`."""
    return checked(
        {
            **_times(),
            "listen": listen,
            "logins": partial(whole, least=1, most=10_000),
            "jump_logins": partial(whole, least=1, most=1000),
            "web_reload": switch,
            "web_config": partial(file_path, folder=folder, credentials=credentials),
            "include": items,
        }
    )


def machine_converters(
    folder: Path,
    gatherers: Mapping[str, Collection[str]],
    reserved_labels: Collection[str],
    credentials: Path | None,
) -> Converters:
    """Return the options of a machine in a file of `folder`."""
    path = partial(file_path, folder=folder, credentials=credentials)
    paths = partial(file_paths, folder=folder, credentials=credentials)
    no_path = partial(file_path_or_none, path=path)
    return checked(
        {
            **_times(),
            "host": host,
            "port": partial(whole, least=1, most=65535),
            "user": user,
            "key_file": path,
            "known_hosts": paths,
            "host_key": fingerprints,
            "host_key_alias": host_key_alias,
            **dict.fromkeys(("certificate_file", "passphrase_file", "password_file", "ssh_config"), no_path),
            "agent": switch,
            **{option: partial(algorithms, known=known) for option, known in ALGORITHMS.items()},
            "gather": partial(gather, gatherers=gatherers),
            "labels": partial(labels, reserved=reserved_labels),
            "jump": jump,
            "keep": switch,
            "max_age": max_age,
            "enabled": switch,
        }
    )


def _times() -> Converters:
    """Return what may be said of the daemon, of all machines and of each."""
    timeout = partial(duration, least=0.01, most=DAY)
    return {"interval": partial(duration, least=0.1, most=DAY), "timeout": timeout, "login_timeout": timeout}


def checked(converters: Converters) -> Converters:
    """Return these as converters that check texts and remember them."""
    return {option: cache(partial(_convert, option, converter)) for option, converter in converters.items()}


def _convert(option: str, converter: Callable[[str], Any], text: str) -> Any:
    """Return the value of a text; ValueError for what no value of the option can have, or the converter's own."""
    if not text and option != "labels":
        raise ValueError("has no value; write one, or take the line away")
    if "\n" in text and option not in (*MAY_BE_LISTS, *MAY_HAVE_LINES):
        raise ValueError("goes on in the next line, because that is indented; if that is an option, do not indent it")
    if wrong := next((letter for letter in text if not letter.isprintable() and letter not in "\n\t"), ""):
        raise ValueError(f"holds the control or invisible character {wrong!a}; take it away")
    if text[:1] in ("'", '"') and option not in MAY_BE_QUOTED:
        raise ValueError("is in quotes; take them away")
    return converter(text)


def duration(text: str, least: float, most: float) -> float:
    """Return the seconds of `500ms`, `15s`, `1m`, `2h`, `1h30m` or a plain number; `least` and `most` are seconds."""
    match = DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"not a duration: {quoted(text)}; write it as 500ms, 15s, 1m or 2h")
    seconds = float(sum(Decimal(number) * SECONDS[unit] for unit, number in match.groupdict().items() if number))
    if not least <= seconds <= most:
        raise ValueError(f"out of range: {quoted(text)}; write from {_shown(least)} to {_shown(most)}")
    return seconds


def _shown(seconds: float) -> str:
    """Render a bound of durations: 100ms, 1s, 24h or 365d."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{seconds:g}s" if seconds < HOUR else f"{seconds / HOUR:g}h" if seconds <= DAY else f"{seconds / DAY:g}d"


def whole(text: str, least: int, most: int) -> int:
    """Return a whole number from `least` to `most`."""
    if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"not a whole number from {least} to {most}: {quoted(text)}; write one")
    return int(text)


def switch(text: str) -> bool:
    """Return whether it is `yes` or `no`, or another word for these that ini files use."""
    if text.lower() not in SWITCH:
        raise ValueError(f"neither yes nor no: {quoted(text)}; write one of them")
    return SWITCH[text.lower()]


def items(text: str) -> tuple[str, ...]:
    """Return words with commas between them, over one or more lines; a comma may stand after the last one."""
    words = tuple(word.strip() for word in text.removesuffix(",").split(","))
    if "" in words:
        raise ValueError("a name is missing; write names with one comma between them")
    if broken := next((word for word in words if "\n" in word), ""):
        raise ValueError(f"no comma at the end of the line: {quoted(broken)}; put one there")
    return words


def jump(text: str) -> tuple[str, ...]:
    """Return the hops on the way, the first one first; none of `none`."""
    hops = items(text)
    if "none" not in hops:
        return hops
    if len(hops) > 1:
        raise ValueError("'none' among others; write it alone, or take it away")
    return ()


def max_age(text: str) -> float | None:
    """Return the seconds of a duration from a second to a year, or None of `none`."""
    return None if text.lower() == "none" else duration(text, 1, 365 * DAY)


def gather(text: str, gatherers: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the gatherers, each once, at least one, of words like `node, -hwmon, +systemd`.

    A word stands for several `gatherers` or for one, which are added (`+` may be left out) or taken away.
    """
    words = items(text)
    if twice := next((word for word in words if words.count(word) > 1), ""):
        raise ValueError(f"{quoted(twice)} is there twice; take one away")
    chosen: dict[str, None] = {}
    for word in words:
        name = word.lstrip("+-")
        if name not in gatherers:
            raise ValueError(f"unknown gatherer {quoted(name)}; {nearest(name, gatherers)}")
        if not word.startswith("-"):
            chosen |= dict.fromkeys(gatherers[name])
        elif gone := chosen.keys() & gatherers[name]:
            chosen = {one: None for one in chosen if one not in gone}
        else:
            raise ValueError(f"{quoted(word)} takes away what is not there; write it behind what has it")
    if not chosen:
        raise ValueError("nothing is left; name a gatherer")
    return tuple(chosen)


def labels(text: str, reserved: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the names and values of `name=value, name="a value with , = # in it"`, by name; none may be `reserved`."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = LABEL.match(text, position)
        if not match:
            rest = quoted(text[position:].strip())
            raise ValueError(f'cannot read {rest}; write name=value, name=value, or name="value" if it holds , = or #')
        name, value = match["name"], match["quoted"] or match["bare"] or ""
        if fault := _label_name_fault(name, found, reserved) or _label_value_fault(value):
            raise ValueError(f"{quoted(name)} {fault}")
        found[name] = value
        position = match.end()
    return tuple(sorted(found.items()))


def _label_name_fault(name: str, found: Collection[str], reserved: Collection[str]) -> str:
    if not NAME.fullmatch(name):
        return "is not a label's name; write letters, digits and _, and no digit first"
    if name == "instance":
        return "is the name of the machine's section; choose another"
    if name.startswith("__"):
        return "begins with __, which Prometheus keeps for itself; choose another"
    if name in reserved:
        return "is a label of the collector's own series; choose another"
    return "is there twice; take one away" if name in found else ""


def _label_value_fault(value: str) -> str:
    if not value:
        return "has no value; write one, or take the label away"
    return "" if value.isprintable() else f"has a value over two lines or with a tab: {quoted(value)}; write one line"


def host(text: str) -> str:
    """Return a host's name, its IPv4 address, or its IPv6 address without the brackets (a scope, `%eth0`, stays)."""
    if fault := _host_fault(text):
        raise ValueError(f"{fault}: {quoted(text)}; write one name or address alone, such as 192.0.2.10")
    bracketed = text.startswith("[") and text.endswith("]")
    name = text[1:-1] if bracketed else text
    try:
        if bracketed or ":" in name:
            ipaddress.IPv6Address(name)
        elif NUMERIC.fullmatch(name):
            ipaddress.IPv4Address(name)
        elif not HOST_NAME.fullmatch(name):
            raise ValueError
    except ValueError:
        raise ValueError(f"neither a host name nor an address: {quoted(text)}; write one, such as 192.0.2.10") from None
    return name


def _host_fault(text: str) -> str:
    """Return what people write instead of a host; empty if it is nothing of that."""
    if "://" in text:
        return "a URL"
    if "@" in text:
        return "a user and a host (user = ... is an option of its own)"
    if "," in text or len(text.split()) > 1:
        return "more than one word"
    if re.fullmatch(r"[^:]+:[0-9]+|\[.*\]:[0-9]+", text):
        return "a host and a port (port = ... is an option of its own)"
    return "" if text.isascii() else "a name that is not ASCII (it has a form that is, xn--...)"


def user(text: str) -> str:
    """Return a user's name."""
    if len(text.split()) > 1 or text.startswith("-"):
        raise ValueError(f"not a user's name: {quoted(text)}; write one word")
    return text


def fingerprints(text: str) -> tuple[str, ...]:
    """Return the fingerprints of keys, with commas between them."""
    for word in (words := items(text)):
        if MD5.fullmatch(word):
            raise ValueError(
                f"an MD5 fingerprint: {quoted(word)}; write SHA256:..., which ssh-keygen -l -f FILE prints"
            )
        if not SHA256.fullmatch(word):
            what = "write SHA256: and 43 letters, as ssh-keygen -l -f FILE prints it"
            raise ValueError(f"not a key's fingerprint: {quoted(word)}; {what}")
    return words


def host_key_alias(text: str) -> str:
    """Return a name that stands in known_hosts."""
    if not ALIAS.fullmatch(text):
        raise ValueError(f"not a name of known_hosts: {quoted(text)}; write one word without any of , * ? ! | # @")
    return text


def listen(text: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9822`, `[::1]:9822` or `:9822` (the host is empty: all interfaces)."""
    address, _, port = text.rpartition(":")
    if ":" not in text or not WHOLE.fullmatch(port) or (":" in address and not address.startswith("[")):
        raise ValueError(f"not an address and a port: {quoted(text)}; write 127.0.0.1:9822, [::1]:9822 or :9822")
    return host(address) if address else "", whole(port, 0, 65535)


def file_path(text: str, folder: Path, credentials: Path | None) -> Path:
    """Return a path: `~` is a home, `credential:NAME` a file in `credentials`, and all else is relative to `folder`."""
    if text.startswith("credential:"):
        return _credential(text.removeprefix("credential:"), credentials)
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(f"there is no such user's home: {quoted(text)}; write the whole path")
    return folder / path


def file_paths(text: str, folder: Path, credentials: Path | None) -> tuple[Path, ...]:
    """Return paths, with commas between them."""
    return tuple(file_path(word, folder, credentials) for word in items(text))


def file_path_or_none(text: str, path: Callable[[str], Path]) -> Path | None:
    """Return a path, or None of `none`, which takes back what is inherited."""
    return None if text.lower() == "none" else path(text)


def algorithms(text: str, known: Algorithms) -> tuple[str, ...]:
    """Return those of a list that are known, best first."""
    return chosen(items(text), known)


def _credential(name: str, credentials: Path | None) -> Path:
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"not a credential's name: {quoted(name)}; write the one in LoadCredential= of the service")
    if credentials is None:
        unset = "credential: needs CREDENTIALS_DIRECTORY, which is not set"
        raise ValueError(f"{unset}; set it to the folder of the file, or write a path")
    return credentials / name
