"""`make install` and `make uninstall` below a folder, and what the commands do before they change a machine."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from rig.installation import PYTHON, TREE, make, make_install

INSTALL = TREE / "deploy/systemd/install.sh"
PACKAGES = TREE / "deploy/setup-packages.sh"
UNIT = "etc/systemd/system/collector.service"
EXAMPLE = "etc/collector/collector.ini"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def copy(installed: Path, tmp_path: Path) -> Path:
    """An installation that a test may change."""
    return Path(shutil.copytree(installed, tmp_path / "copy", symlinks=True))


def files(folder: Path) -> set[str]:
    """All that is in a folder but folders."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def run(*argv: str | Path, **environment: str) -> tuple[int, str]:
    """The exit code of a program, and all that it prints."""
    done = subprocess.run(
        argv,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.needs("make", PYTHON)
def test_what_is_installed(installed: Path) -> None:
    """A virtual environment, the unit and the example: nothing else, and for everybody to read."""
    rest = {name for name in files(installed) if not name.startswith("opt/collector/")}
    assert {UNIT, EXAMPLE} == rest
    assert (TREE / "deploy/systemd/collector.service").read_text() == (installed / UNIT).read_text()
    assert (TREE / "deploy/systemd/collector.ini").read_text() == (installed / EXAMPLE).read_text()
    assert {0o644} == {mode(installed / name) for name in rest}
    assert (installed / "opt/collector/bin/collector").read_text().startswith("#!/opt/collector/bin/python")
    assert mode(installed / "opt/collector") == mode(installed / "opt/collector/bin/collector") == 0o755


@pytest.mark.needs("make", PYTHON)
def test_the_folder_is_not_named_in_it(installed: Path) -> None:
    """What was installed into a folder does not know that folder, compiled modules included."""
    plain = [path for path in installed.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [] == [path for path in plain if str(installed).encode() in path.read_bytes()]


@pytest.mark.needs("make", PYTHON)
def test_it_runs_without_the_tree(installed: Path) -> None:
    """The installed package finds all of its own files in its own place."""
    python = installed / "opt/collector/bin/python"
    code, said = run(python, "-I", "-m", "collector", "--version")
    assert (0, "collector") == (code, said.split()[0])
    package = next((installed / "opt/collector").glob("lib/python*/site-packages/collector"))
    ours = {str(path.relative_to(TREE / "collector")) for path in (TREE / "collector").rglob("*.*") if path.is_file()}
    wanted = {name for name in ours if Path(name).suffix in (".py", ".sh", ".html", ".css", ".js", ".svg")}
    assert set() == wanted - files(package)


@pytest.mark.limit(300)
@pytest.mark.needs("make", PYTHON)
def test_a_second_install_upgrades(copy: Path) -> None:
    """It replaces programs and unit as a whole, and does not touch a configuration that is there."""
    stale = copy / "opt/collector/lib/stale.py"
    stale.touch()
    (copy / UNIT).write_text("old")
    (copy / EXAMPLE).write_text("mine")
    before = files(copy)
    said = make_install(copy)
    assert "collector.ini stays as it was" in said
    assert "mine" == (copy / EXAMPLE).read_text()
    assert (TREE / "deploy/systemd/collector.service").read_text() == (copy / UNIT).read_text()
    assert before - {str(stale.relative_to(copy))} == files(copy)


@pytest.mark.needs("make", PYTHON)
def test_a_failed_install_leaves_what_was_there(copy: Path) -> None:
    """Without the dependencies nothing changes."""
    before = files(copy)
    code, _ = run(INSTALL, PYTHON=PYTHON, DESTDIR=str(copy), PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert code != 0
    assert before == files(copy)


@pytest.mark.needs("make", PYTHON)
def test_uninstall_leaves_the_configuration_alone(copy: Path) -> None:
    """It takes all away but /etc/collector, and a second time has nothing to do."""
    wants = copy / "etc/systemd/system/multi-user.target.wants/collector.service"
    wants.parent.mkdir()
    wants.symlink_to("/etc/systemd/system/collector.service")
    (copy / "etc/collector/ssh_key").touch()
    for _ in range(2):
        assert make("uninstall", DESTDIR=copy).returncode == 0
        assert {EXAMPLE, "etc/collector/ssh_key"} == files(copy)
    assert not (copy / "opt/collector").exists()


@pytest.mark.needs(PYTHON)
def test_an_interpreter_in_a_home_is_refused(tmp_path: Path) -> None:
    """The service could not see it: nothing is installed, and the message names what to take instead."""
    home = str(Path(PYTHON).resolve().parent)
    code, said = run(INSTALL, PYTHON=PYTHON, HOME=home, DESTDIR=str(tmp_path))
    assert (1, set()) == (code, files(tmp_path))
    assert f"The service cannot see {home}/python3" in said
    assert "make install PYTHON=/usr/bin/python3" in said


@pytest.mark.needs("root", "setpriv")
def test_install_wants_root() -> None:
    """Another user is told to become root, or to say where it shall go instead."""
    code, said = run(*NOBODY, "bash", "-c", INSTALL.read_text(), "install.sh")
    assert (1, "This needs root: sudo make install (or uninstall). With DESTDIR=FOLDER it goes there instead.\n") == (
        code,
        said,
    )


def test_what_is_there_is_not_installed() -> None:
    """When all programs are there, nothing is done or said."""
    assert (0, "") == run(PACKAGES, "sh=dash", "cat=coreutils")


@pytest.mark.needs("root", "setpriv", "apt-get")
def test_without_root_and_sudo_the_line_is_printed(tmp_path: Path) -> None:
    """A user who may install nothing is given the exact line to run, and exit code 1."""
    wanted = ["sh=dash", "no-such-program=zebra", "nor-such-a-one=ape", "another-of-it=ape"]
    code, said = run(*NOBODY, "sh", "-c", PACKAGES.read_text(), "setup-packages.sh", *wanted, SUDO_ASKPASS="/bin/false")
    line = "    apt-get update && apt-get install -y --no-install-recommends ape zebra"
    assert (1, line) == (code, said.splitlines()[-1])


POLICY = "#!/bin/sh\n# As it was.\nexit 0\n"

APT = """\
#!/bin/sh
code=0
/usr/sbin/policy-rc.d ssh start || code=$?
echo "$1 $code" >>"$ANSWERS"
[ "$1" = update ]
"""

IN_PRIVATE = """\
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/upper,workdir=/run/work overlay /usr/sbin
rm -f /usr/sbin/policy-rc.d
[ -z "$POLICY" ] || { printf %s "$POLICY" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
"$@" && exit 1
ls /usr/sbin/policy-rc.d* 2>/dev/null
[ -z "$POLICY" ] || cat /usr/sbin/policy-rc.d
"""


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize("policy", ["", POLICY], ids=["none before", "one before"])
def test_no_service_starts_while_packages_are_installed(tmp_path: Path, policy: str) -> None:
    """Debian's question whether a service may start is answered no, and afterwards, even after a failure, as before."""
    apt = tmp_path / "bin/apt-get"
    apt.parent.mkdir()
    apt.write_text(APT)
    apt.chmod(0o755)
    answers = tmp_path / "answers"
    environment = {"PATH": f"{apt.parent}:{os.environ['PATH']}", "ANSWERS": str(answers), "POLICY": policy}
    argv = ["unshare", "--mount", "sh", "-ec", IN_PRIVATE, "sh", str(PACKAGES), "no-such-program=ape"]
    _, said = run(*argv, **environment)
    assert "update 101\ninstall 101\n" == answers.read_text()
    assert said.endswith(f"/usr/sbin/policy-rc.d\n{policy}" if policy else "ape\n")
