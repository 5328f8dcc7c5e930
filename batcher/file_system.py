"""What a file system may lack: links, locks, and that the names in a folder can be made durable.

Network shares (NFS, SMB), FAT and file systems in user space say so in several ways. A report can do without; of a
ledger more is asked (`ledger.lock`). A fault of the disk (`EIO`) is never one of them.
"""

import errno
import os
from pathlib import Path
from typing import Final

NO_SUCH_THING: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""How a file system says that it has no such operation."""
NO_LINKS: Final = NO_SUCH_THING | {errno.EPERM}
"""The same of `symlink` ("EPERM: the filesystem does not support the creation of symbolic links", symlink(2))."""
NO_FOLDER_SYNC: Final = NO_SUCH_THING | {errno.EINVAL, errno.EBADF}
"""The same of `fsync` on a folder ("EINVAL: fd is bound to a special file which does not support synchronization",
fsync(2)); some say that a folder is not open for writing.
"""
NO_LOCKS: Final = NO_SUCH_THING | {errno.ENOLCK, errno.EINVAL}
"""The same of `flock` and `fcntl` ("ENOLCK: the remote locking protocol failed", fcntl(2))."""


def sync_folder(path: Path) -> bool:
    """Make the names in a folder durable; False where its file system cannot do that. Raises `OSError`."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno in NO_FOLDER_SYNC:
            return False
        raise
    finally:
        os.close(folder)
    return True
