"""collector.ini -> Config, Machine: every check of the configuration is here, and all that is wrong is said at once.

`ini` makes sections of files, each text with its place. `values` makes a value of each text. Here the settings are laid
over each other (ours, those of ssh_config, [collector], [defaults], those of the included file, the machine's own) and
become what `machine` has. Nothing stops at a problem: it is noted, as `problems` says it, and `load` raises them all.

The file that `web_config` names is YAML: `document` takes it apart, `web` says what it means, `tls` makes a context.
"""

import difflib
import getpass
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from types import MappingProxyType
from typing import Any

from collector.config import custom as customs
from collector.config import web
from collector.config.algorithms import ALGORITHMS
from collector.config.custom import Custom, CustomProblem
from collector.config.files import FILES, IDENTITY, IdentityProblem, check_files, check_identities, file_fault
from collector.config.ini import Section, matching, read
from collector.config.machine import LOGIN, Config, Hop, IdentityFiles, Login, Machine
from collector.config.problems import Place, Problems, in_order, nearest, quoted
from collector.config.setting import Setting, Settings
from collector.config.ssh_config import Said, SshConfigs
from collector.config.values import Converters, collector_converters, machine_converters
from collector.config.ways import Ways
from collector.errors import ConfigError

__all__ = ["Config", "Custom", "Hop", "IdentityFiles", "Login", "Machine", "find", "load"]

PLACES = (Path("collector.ini"), Path("/etc/collector/collector.ini"))
TIMES = ("interval", "timeout", "login_timeout")
"""What [collector] may set for all machines."""
DAEMON: Mapping[str, Any] = {
    "listen": ("127.0.0.1", 9822),
    "logins": 64,
    "jump_logins": 8,
    "web_reload": False,
    "web_config": None,
}
"""What [collector] sets for the daemon, and what holds if it does not."""
LONGEST_TIMEOUT = 10.0
"""Seconds; a timeout that nobody set is this, or the interval if that is less."""

EITHER = "[defaults] or a machine's section"
BELONGS = {
    **dict.fromkeys(("listen", "logins", "jump_logins", "web_reload", "web_config", "include"), "[collector]"),
    **dict.fromkeys(("port", "user", *IDENTITY, *ALGORITHMS, "ssh_config", "jump", "keep", "max_age"), EITHER),
    **dict.fromkeys(("known_hosts", "host_key", "host_key_alias", "gather", "labels", "enabled"), EITHER),
    "host": "a machine's section",
    **dict.fromkeys(("command", "files", "read", "pattern", "metric"), "a section such as [gather:name]"),
}
"""Where to move an option that stands in a section which does not have it."""
MISSING = {
    "host": "missing; write host = its name or address",
    "user": "missing, and the user who runs the collector has no name; write user = the name to log in with",
}


def find(argument: str | None) -> Path:
    """Return the file to load: `argument` (of --config), else the first of `PLACES` that is there, else ConfigError."""
    if argument is not None:
        return Path(argument)
    for place in PLACES:
        if os.path.exists(place):
            return place
    looked = " nor ".join(map(str, PLACES))
    raise ConfigError([f"no configuration: there is neither {looked}; write one, or name it with --config FILE"])


def load(
    path: Path,
    *,
    gatherers: Mapping[str, Collection[str]],
    sets: Mapping[str, Collection[str]] = MappingProxyType({}),
    reserved_labels: Collection[str] = (),
    credentials: Path | None = None,
    identity_problem: IdentityProblem | None = None,
    custom_problem: CustomProblem | None = None,
    known_hosts_needed: bool = True,
) -> Config:
    """Return what `path` and the files that it includes say; ConfigError with all that is wrong in any of them.

    `gather =` may name `gatherers`, and `sets` of them by one word; `labels =` may not name `reserved_labels`, nor what
    stands with a gatherer, the labels of its series. `custom_problem` says what is wrong with a [gather:NAME] in the
    languages of patterns and paths. `credential:NAME` is a file in the folder `credentials`
    ($CREDENTIALS_DIRECTORY). Key files must be there, and known_hosts where it is needed and no key is pinned; they are
    not read here, but `identity_problem` may read a key and what goes with it, and say which option is wrong, and what.
    """
    problems: Problems = []
    files, collector = _read_all(path, credentials, problems)
    custom = _read_custom(files, {*gatherers, *sets}, reserved_labels, custom_problem, problems)
    gatherers = {**gatherers, **{name: one.label_names if one else () for name, one in custom.items()}}
    words = {**{name: (name,) for name in gatherers}, **sets}
    web_files = _check_web_config(collector, problems)
    _check_names(files, problems)
    inherited = _built_in(path) | {option: collector[option] for option in TIMES if option in collector}
    settled: dict[str, Settings] = {}
    for file, sections in files.items():
        converters = machine_converters(file.parent, words, reserved_labels, credentials)
        shared = {option: converter for option, converter in converters.items() if option != "host"}
        defaults = inherited | _settle_all(("defaults", "DEFAULT"), sections, shared, problems)
        if file == path:
            inherited = defaults
        for section in filter(_is_machine, sections):
            settings = defaults | _settle(section, converters, problems)
            _check_machine(section.place, settings, problems)
            _check_labels(settings, gatherers, problems)
            _check_custom(section.place, settings, custom, problems)
            settled.setdefault(section.place.section, settings)
    converters = machine_converters(path.parent, words, reserved_labels, credentials)
    ask_ssh_config = partial(_ask_ssh_config, converters=converters, texts=SshConfigs().texts, problems=problems)
    ways = Ways(settled, ask_ssh_config, problems)
    machines = _machines(ways, custom, known_hosts_needed, identity_problem, problems)

    empty = not any(map(_is_machine, chain.from_iterable(files.values())))
    if empty and "include" not in collector and (files[path] or not problems):
        problems.append((Place(path), "no machine; add a section for each, such as [web1], with host = its address"))
    if problems:
        raise ConfigError(in_order(problems, [*files, *web_files]))
    daemon = {option: collector[option].value if option in collector else value for option, value in DAEMON.items()}
    return Config(files=tuple(files), machines=tuple(machines), **daemon)


def _read_all(path: Path, credentials: Path | None, problems: Problems) -> tuple[dict[Path, list[Section]], Settings]:
    """Return the sections of each file, `path` first, and what [collector] sets."""
    files = {path: read(path, problems)}
    converters = collector_converters(path.parent, credentials)
    collector = _settle_all(("collector",), files[path], converters, problems)
    for file in _included(collector, path.parent, problems):
        if file not in files:
            files[file] = read(file, problems)
    return files, collector


def _included(collector: Settings, folder: Path, problems: Problems) -> Iterator[Path]:
    """Yield the files that [collector] includes."""
    include = collector.get("include")
    if not include or not include.value:
        return
    for pattern in include.value:
        try:
            yield from matching(pattern, folder)
        except OSError as error:
            fault = f"{quoted(pattern)}: {error.strerror}; name files that are there"
            problems.append((include.place("include"), fault))


def _check_web_config(collector: Settings, problems: Problems) -> list[Path]:
    """Note what is wrong with the file that `web_config` names; return it, if there is one."""
    setting = collector.get("web_config")
    if not setting or not setting.value:
        return []
    if fault := file_fault(setting.value):
        hint = "write one (docs/https.md has an example), or name another file"
        problems.append((setting.place("web_config"), f"{setting.value}: {fault}; {hint}"))
    else:
        problems.extend(web.read(setting.value)[1])
    return [setting.value]


def _is_machine(section: Section) -> bool:
    name = section.place.section
    return name not in ("", "collector", "defaults", "DEFAULT") and ":" not in name


def _check_names(files: Mapping[Path, list[Section]], problems: Problems) -> None:
    """Note the sections whose names are not good, are there twice, or stand in the wrong file."""
    main = next(iter(files))
    first: dict[object, Place] = {}
    for file, sections in files.items():
        for place, _ in sections:
            name = place.section
            fault = _name_fault(name)
            if name == "collector" and file != main:
                fault = f"is for {main} alone; move its options there (an included file includes no others)"
            # Each file may have [defaults] of its own.
            earlier = first.setdefault((file, name) if name == "defaults" else name, place)
            if not fault and earlier is not place:
                fault = f"the same section is at {earlier.file}:{earlier.line}; rename one, or make one of both"
            if fault:
                problems.append((place, fault))


def _name_fault(name: str) -> str:
    if not name:
        return "the section has no name; put the machine's name between [ and ]"
    if not name.isprintable():
        return "a control or invisible character in the section's name; take it away"
    if name == "DEFAULT":
        return "is not used here; say [defaults]"
    if ":" in name and not name.startswith(customs.PREFIX):
        return "unknown section: names with a colon are reserved; name a machine without (host = ... is its address)"
    return ""


def _read_custom(
    files: Mapping[Path, list[Section]],
    taken: Collection[str],
    reserved_labels: Collection[str],
    problem: CustomProblem | None,
    problems: Problems,
) -> dict[str, Custom | None]:
    """Return what each [gather:NAME] says, by NAME; None of one that is not good."""
    converters = customs.custom_converters(reserved_labels)
    custom: dict[str, Custom | None] = {}
    for section in chain.from_iterable(files.values()):
        name = section.place.section.removeprefix(customs.PREFIX)
        if name == section.place.section:
            continue
        if name in taken:
            problems.append((section.place, f"there is a gatherer {name} already; choose another name"))
        settings = _settle(section, converters, problems)
        custom.setdefault(name, customs.make(section, settings, problem, problems))
    return custom


def _settle_all(
    names: Collection[str], sections: Iterable[Section], converters: Converters, problems: Problems
) -> Settings:
    """Return the settings of the sections of these names; of a good file that is one section or none."""
    settings: Settings = {}
    for section in sections:
        if section.place.section in names:
            settings |= _settle(section, converters, problems)
    return settings


def _settle(section: Section, converters: Converters, problems: Problems) -> Settings:
    """Return the settings of a section, each from the converter of its option."""
    settings: Settings = {}
    for line, option, text in section.options:
        value = None
        try:
            if option in settings:
                raise ValueError(f"is set in line {settings[option].line} already; take one of them away")
            if option not in converters:
                raise ValueError(_unknown(option, converters))
            value = converters[option](text)
        except ValueError as error:
            problems.append((section.place_of(line, option), str(error)))
        settings.setdefault(option, Setting(section.place, line, text, value))
    return settings


def _unknown(option: str, options: Collection[str]) -> str:
    if option in BELONGS:
        return f"belongs in {BELONGS[option]}; move it there"
    return f"unknown option; {nearest(option, options)}"


def _check_machine(place: Place, settings: Settings, problems: Problems) -> None:
    """Note what a machine lacks, and a timeout above its interval."""
    for option, text in MISSING.items():
        if option not in settings:
            close = difflib.get_close_matches(place.section.lower(), ("collector", "defaults"), 1)
            hint = f" (or is this to be [{close[0]}]?)" if close and option == "host" else ""
            problems.append((place._replace(option=option), text + hint))
    timeout, interval = settings.get("timeout"), settings["interval"]
    if not timeout or not timeout.value or not interval.value or timeout.value <= interval.value:
        return
    # Said where it can be mended, and in the same words for every machine that inherits both.
    if interval.section is place is not timeout.section:
        text = f"{interval.text} is less than the timeout, {_origin(timeout)}; set a timeout of {interval.text} or less"
        problems.append((interval.place("interval"), text))
    else:
        text = f"{timeout.text} is more than the interval, {_origin(interval)}; write {interval.text} or less"
        problems.append((timeout.place("timeout"), text))


def _check_labels(settings: Settings, gatherers: Mapping[str, Collection[str]], problems: Problems) -> None:
    """Note labels that the series of the machine's gatherers have too."""
    for name, _ in settings["labels"].value or ():
        if owner := next((one for one in settings["gather"].value or () if name in gatherers[one]), ""):
            text = f"{quoted(name)} is a label of what {owner} gathers; choose another"
            problems.append((settings["labels"].place("labels"), text))


def _check_custom(place: Place, settings: Settings, custom: Mapping[str, Custom | None], problems: Problems) -> None:
    """Note what a machine cannot gather in one poll of people's own."""
    own = [one for name in settings["gather"].value or () if (one := custom.get(name))]
    where = settings["gather"].place("gather") if settings["gather"].line else place
    if len(files := [one.name for one in own if one.files]) > 1:
        text = f"{' and '.join(files)} both read files; write all files into one of them"
        problems.append((where, text))
    timeout, most = settings.get("timeout"), _timeout(settings)
    for one in own:
        if most and one.timeout >= most:
            text = (
                f"{one.name} may take {one.timeout}s, and a poll {most:g}s in all; make its timeout less, or this more"
            )
            problems.append((timeout.place("timeout") if timeout and timeout.line else where, text))


def _origin(setting: Setting) -> str:
    return f"{setting.text} at {setting.section.file}:{setting.line}" if setting.line else f"{setting.text} by default"


def _ask_ssh_config(
    settings: Settings, converters: Converters, texts: Callable[..., dict[str, Said]], problems: Problems
) -> Settings:
    """Add what ssh_config says of a machine's host, if it is asked: the host's true name, and what nobody has set."""
    host, file = settings.get("host"), settings["ssh_config"]
    if not file.value or not host or not host.value:
        return settings
    if fault := file_fault(file.value):
        problems.append((file.place("ssh_config"), f"{file.value}: {fault}; {FILES['ssh_config']}"))
        return _without_key(settings)
    settings = dict(settings)
    given = {option: settings[option].text for option in ("user", "port") if _is_set(option, settings)}
    for option, (place, text, fault) in texts(file.value, host.value, problems, **given).items():
        if option != "host" and _is_set(option, settings):
            continue
        if option == "key_file" and settings["password_file"].value:
            continue
        value = None
        try:
            if fault or option not in converters:
                raise ValueError(fault or f"there is no {option} here; write ssh_config = none for this machine")
            value = converters[option](text)
        except ValueError as error:
            problems.append((place, str(error)))
        settings[option] = Setting(place, place.line, text, value)
    return settings


def _without_key(settings: Settings) -> Settings:
    """Take away the key that nobody has set: what may name another cannot be read, and that is noted."""
    key = settings["key_file"]
    return settings if key.line else settings | {"key_file": key._replace(value=None)}


def _is_set(option: str, settings: Settings) -> bool:
    """Tell whether somebody has set an option."""
    return option in settings and settings[option].line > 0


def _machines(
    ways: Ways,
    custom: Mapping[str, Custom | None],
    known_hosts_needed: bool,
    identity_problem: IdentityProblem | None,
    problems: Problems,
) -> list[Machine]:
    """Return the enabled machines; none if there is a problem with anything."""
    to = {name: ways.to(name) for name in ways.enabled}
    on_ways = [settings for way in to.values() for _, settings in way]
    named: set[tuple[str, Setting]] = set()
    identities: set[tuple[Setting, ...]] = set()
    for settings in (*on_ways, *map(ways.settings, to)):
        identities.add(tuple(settings[option] for option in IDENTITY))
        if known_hosts_needed and "host_key" not in settings:
            named.add(("known_hosts", settings["known_hosts"]))
    check_files(named, problems)
    check_identities(identities, identity_problem, problems)
    # With a problem anywhere nobody gets to see the machines, and some have no value to be made of.
    if problems:
        return []
    # Many machines are behind one jump host: each Hop is there once.
    hops: dict[Hop, Hop] = {}
    return [
        _machine(name, ways.settings(name), custom, tuple(hops.setdefault(hop, hop) for hop in starmap(_hop, way)))
        for name, way in to.items()
    ]


def _built_in(file: Path) -> Settings:
    """Return what holds where the configuration says nothing; without `user` if the one who runs us has no name."""
    ssh = Path(os.path.expanduser("~/.ssh"))
    values: dict[str, Any] = {
        "port": 22,
        "key_file": ssh / "id_ed25519",
        "known_hosts": (ssh / "known_hosts",),
        "gather": ("time", "memory", "load"),
        "labels": (),
        "jump": (),
        "keep": True,
        "max_age": None,
        "interval": 15.0,
        "login_timeout": 30.0,
        "enabled": True,
        "agent": False,
        **dict.fromkeys(("certificate_file", "passphrase_file", "password_file", "ssh_config")),
        **dict.fromkeys(ALGORITHMS, ()),
    }
    with suppress(KeyError, OSError):
        values["user"] = getpass.getuser()
    ours = Place(file)
    return {option: Setting(ours, 0, "15s" if option == "interval" else "", value) for option, value in values.items()}


def _machine(name: str, settings: Settings, custom: Mapping[str, Custom | None], jumps: tuple[Hop, ...]) -> Machine:
    """Return the machine with these settings, all of them good."""
    interval = settings["interval"]
    own = {option: settings[option].value for option in ("gather", "labels", "keep", "max_age")}
    times = {"interval": interval.value, "interval_text": interval.text, "timeout": _timeout(settings)}
    of_people = tuple([one for name in own["gather"] if (one := custom.get(name))])
    return Machine(name=name, custom=of_people, jumps=jumps, **times, **own, **_login(settings))


def _timeout(settings: Settings) -> Any:
    """Return the seconds that a poll may take; None if what was set is wrong."""
    if "timeout" in settings:
        return settings["timeout"].value
    return min(LONGEST_TIMEOUT, settings["interval"].value or LONGEST_TIMEOUT)


def _hop(name: str, settings: Settings) -> Hop:
    """Return the jump host with these settings."""
    return Hop(name=name, **_login(settings))


def _login(settings: Settings) -> dict[str, Any]:
    """Return the fields of a Login, which are called as the options are, as far as they are set."""
    return {name: settings[name].value for name in LOGIN if name in settings}
