"""A file replaced as a whole: whoever reads it finds the old text or the new one, whatever happens in between."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep everybody else who locks a folder out of it, and see to it that it is on disk at the end. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, text: bytes) -> None:
    """Put a new file in the place of one, with its mode and owner; one that is new is for all to read. Raises OSError.

    A path that is a link is replaced itself: name what it leads to.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            _make_alike(path, Path(name))
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _make_alike(path: Path, new: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        new.chmod(0o644)
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file; name another one")
    os.chown(new, status.st_uid, status.st_gid)
    shutil.copystat(path, new)
    os.utime(new)
