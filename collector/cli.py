"""The command line: arguments become a call of one function a command."""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from collector import authorize, check, daemon, demo, logs, once, trust
from collector.config import find
from collector.errors import ConfigError

GOOD, FAILED, BAD_CONFIGURATION = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 good, 1 something failed, 2 bad configuration or arguments."""
    options = parser().parse_args(arguments)
    logs.set_up(options.log_level, options.log_format)
    try:
        return command(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return BAD_CONFIGURATION
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to be said, not even by the interpreter when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"collector: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def command(options: argparse.Namespace) -> int:
    """Call the function of the command."""
    match options.command:
        case "run":
            return daemon.run(find(options.config))
        case "check":
            return check.run(find(options.config), options.sections, options.connect)
        case "authorize":
            return authorize.run(find(options.config), options.sections)
        case "once":
            return once.run(find(options.config), options.sections, options.format)
        case "trust":
            return trust.run(find(options.config), options.sections, options.yes_from)
        case _:
            return demo.run(options.machines, options.listen)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log-level", choices=logs.LEVELS, default="info", help="log from this level on (info)")
    common.add_argument("--log-format", choices=logs.FORMATS, default="logfmt", help="how to log (logfmt)")
    configured = argparse.ArgumentParser(add_help=False, parents=[common])
    configured.add_argument(
        "--config", metavar="FILE", help="the configuration (./collector.ini, else /etc/collector/collector.ini)"
    )
    sections = argparse.ArgumentParser(add_help=False)
    sections.add_argument("sections", nargs="*", metavar="SECTION", help="machines; all unless told")

    top = argparse.ArgumentParser(prog="collector", description=DESCRIPTION, epilog=EXIT_CODES)
    top.add_argument("--version", action="version", version=f"collector {version('collector')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text, more = COMMANDS[name]
        description = f"{text[0].upper()}{text[1:]}. {more}"
        return commands.add_parser(name, parents=parents, help=text, description=description, epilog=EXIT_CODES)

    add("run", configured)
    check_parser = add("check", configured, sections)
    check_parser.add_argument("--connect", action="store_true", help="log in to each machine, and show how that went")
    once_parser = add("once", configured, sections)
    once_parser.add_argument("--format", choices=once.FORMATS, default="table", help="how to print it (table)")
    trust_parser = add("trust", configured, sections)
    trust_parser.add_argument(
        "--yes-from", type=Path, metavar="FILE", help="ask nothing, add the keys whose fingerprints this file has"
    )
    add("authorize", configured, sections)
    demo_parser = add("demo", common)
    demo_parser.add_argument("--machines", type=demo.machines, default=6, metavar="N", help="how many (6)")
    demo_parser.add_argument(
        "--listen", type=demo.address, default="127.0.0.1:9822", metavar="ADDR", help="where to serve (127.0.0.1:9822)"
    )
    return top


DESCRIPTION = "Time, memory and load of machines without an agent: over kept SSH sessions, as Prometheus metrics."

EXIT_CODES = "Exit codes: 0 good, 1 something failed, 2 bad configuration or arguments."

COMMANDS = {
    "run": ("poll and serve, for ever", "SIGHUP reads the configuration anew; SIGTERM and Ctrl-C end it."),
    "check": ("check the configuration", "All that is wrong is said at once, with file and line."),
    "once": ("poll once, now, and print what came", "A running collector is neither needed nor disturbed."),
    "trust": (
        "show the host keys of unknown machines, ask, and add them",
        "It goes as far as the key exchange, and logs in to jump hosts alone.",
    ),
    "authorize": (
        "print lines for authorized_keys that restrict our keys",
        "A key with such a line can answer polls and do nothing else. No machine is asked.",
    ),
    "demo": (
        "poll a fleet on this machine, made for the purpose",
        "It needs no configuration, and is gone with Ctrl-C.",
    ),
}
"""What each command does: in the list of all, and what its own help says besides."""
