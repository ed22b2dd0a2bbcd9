"""One target, run by atheris: `python -m fuzz.engine TARGET [what libFuzzer takes]`."""

import sys

import atheris


def main() -> None:
    """Run it until libFuzzer ends the process; what the target runs through must be imported here, to be counted."""
    with atheris.instrument_imports(include=["collector", "paramiko.packet", "paramiko.message"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415
    check = TARGETS[sys.argv[1]].check

    def run(data: bytes) -> None:
        check(data)

    atheris.Setup([sys.argv[1], *sys.argv[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
