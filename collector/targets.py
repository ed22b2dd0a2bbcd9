"""What a machine is that cannot run the probe, as far as its own words tell."""

import re

DEVICE = "this is the command line of a network device, which runs no programs; use snmp_exporter"
WINDOWS = "this is Windows ({}), which has no /bin/sh; use windows_exporter"

KNOWN = {
    r"not recognized as an internal or external command": WINDOWS.format("cmd.exe"),
    r"not recognized as (the|a) name of a cmdlet|CommandNotFoundException": WINDOWS.format("PowerShell"),
    # Cisco IOS, NX-OS and Arista; Huawei and H3C; Juniper; MikroTik; HPE; Fortinet.
    r"% ?(Invalid|Unknown|Unrecognized|Incomplete|Ambiguous|Bad) (input|command|host)": DEVICE,
    r"Unrecognized command found at|bad command name exec|Invalid input: exec": DEVICE,
    r"unknown command\W+exec|syntax error, expecting <command>|Unknown action 0": DEVICE,
    r"account is (currently )?not available": "the account's login shell is nologin; give it a shell (/bin/sh will do)",
    r"sftp connections only": "the account is for sftp alone (ForceCommand internal-sftp in sshd_config)",
    r"exec: restricted|restricted: cannot|exec: command not allowed": "the account's login shell is a restricted one "
    "(rbash), which may not start /bin/sh; give it another, and restrict the key instead (collector authorize)",
    r"/bin/sh\W.{0,100}(No such file|not found)": "the machine has no /bin/sh",
    # Not an echo of the program, which has these words in it.
    r"polls of the collector and for nothing else(?! >)": "the key's line in authorized_keys is of another "
    "version of the collector; put the line there that `collector authorize` prints",
}
"""What a machine says when it is told to start a shell, and what that means."""


MOST_SAID = 4096
"""Bytes of what a machine said that are looked at, from the beginning and from the end."""


def explain(said: bytes | bytearray) -> str:
    """Return what a machine that starts no probe is, if that is known, and the end of what it said."""
    # Searching through all that a machine can say would keep every other machine waiting.
    text = plain(said if len(said) <= 2 * MOST_SAID else said[:MOST_SAID] + b" " + said[-MOST_SAID:])
    if not text:
        return "it said nothing (a login shell like /bin/false says nothing)"
    known = [meaning for pattern, meaning in KNOWN.items() if re.search(pattern, text, re.IGNORECASE)]
    return "; ".join([*known[:1], f"it said {text[-200:]!r}"])


def without_proc(system: str) -> str:
    """Return what is wrong on a machine whose shell ran the probe, and has found no /proc. `system` is of uname."""
    if system in ("", "Linux"):
        return "there is no /proc: mount it, or let the login out of its chroot"
    return f"this is {system[:40]}, which has no /proc as Linux has it; use an exporter that is made for it"


def plain(said: bytes | bytearray) -> str:
    """Return what a machine said as one line that a terminal survives."""
    text = re.sub(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])", b"", bytes(said))
    return re.sub(rb"[^!-~]+", b" ", text).decode("ascii").strip()
