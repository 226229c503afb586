"""One job at a time in a work directory."""

import errno
import fcntl
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

FILE = "lock"


@contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Holds a work directory, which is made if absent, so that no other job writes there.

    The lock is the kernel's, on a file that stays: it ends with the process, however that ends.

    Raises:
      ValueError: if another job holds it; says which, and where.
      SystemExit: if the directory cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another job may try at this moment
        file = (workdir / FILE).open("a+")
    except OSError as error:
        raise SystemExit(
            f"cannot write the work directory {workdir}: {error.strerror}; name another"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # On NFS, which locks by other means, the refusal is EACCES.
            if error.errno in (errno.EAGAIN, errno.EACCES):
                file.seek(0)
                raise ValueError(
                    f"{workdir} is in use by {file.read().strip() or 'another job'}; wait until "
                    "that ends, or name another"
                ) from error
            warnings.warn(
                f"{workdir} cannot be locked ({error.strerror}): see to it that no other job "
                "uses it",
                stacklevel=3,
            )
        file.truncate(0)
        file.write(_holder())
        file.flush()
        yield


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%F %T}\n"
