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
        print(f"collector: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
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

    top = argparse.ArgumentParser(prog="collector", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"collector {version('collector')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", parents=[configured], help="poll and serve, for ever", description=daemon.run.__doc__)
    check_parser = commands.add_parser("check", parents=[configured, sections], help="check the configuration")
    check_parser.add_argument(
        "--connect", action="store_true", help="log in to each machine, once, and show how that went"
    )
    once_parser = commands.add_parser(
        "once", parents=[configured, sections], help="poll once, now, and print what came"
    )
    once_parser.add_argument("--format", choices=once.FORMATS, default="table", help="how to print it (table)")
    trust_parser = commands.add_parser(
        "trust", parents=[configured, sections], help="show the host keys of unknown machines, ask, and add them"
    )
    trust_parser.add_argument(
        "--yes-from", type=Path, metavar="FILE", help="ask nothing, add the keys whose fingerprints this file has"
    )
    commands.add_parser(
        "authorize", parents=[configured, sections], help="print lines for authorized_keys that restrict our keys"
    )
    demo_parser = commands.add_parser(
        "demo", parents=[common], help="poll a fleet on this machine, made for the purpose"
    )
    demo_parser.add_argument("--machines", type=demo.machines, default=6, metavar="N", help="how many (6)")
    demo_parser.add_argument(
        "--listen", default="127.0.0.1:9822", metavar="ADDR", help="where to serve (127.0.0.1:9822)"
    )
    return top


DESCRIPTION = "Time, memory and load of machines without an agent: over kept SSH sessions, as Prometheus metrics."
