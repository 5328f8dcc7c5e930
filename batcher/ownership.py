"""Who owns a file and who may write it: what was found, and not named, is believed only where nobody else wrote it.

As ssh and git have it. A file is ours if it belongs to the effective user or to root, who can do as he likes anyway;
so for root, also under sudo, a user's file is somebody else's. Nobody else may write it, nor the folder in which it
lies, for who may write there can put another file in its place. Three things are borne:

- a folder with the sticky bit, as `/tmp`: there only the owner of a file can take it away;
- write access of a group in which nobody is but the owner, root and us, as each user has one on many systems;
- a link, if we or root made it: then the same is asked of its folder, and of what it leads to.

Folders further up are not looked at: who may write there can bring another folder into the place, but not one that is
ours. Access lists (ACLs) are not read either: what they grant shows in the bits of the group or not at all.
"""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

from batcher.errors import ConfigError

ROOT = 0
LINKS_MAX = 40
"""Links on the way to one file: what Linux follows (path_resolution(7))."""


def is_ours(uid: int) -> bool:
    """Whether what belongs to this user belongs to us or to root."""
    return uid in (os.geteuid(), ROOT)


def user_name(uid: int) -> str:
    """A user as people know him."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def other_owner(path: Path) -> str:
    """To whom else than us and root a file belongs; empty: to nobody else, or there is none."""
    return "" if not path.exists() or is_ours(uid := path.stat().st_uid) else user_name(uid)


def other_writers(status: os.stat_result) -> str:
    """Who besides its owner, root and us may write what has this status, in words; empty: nobody."""
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and _has_others(status.st_gid, status.st_uid):
        return f"the group `{_group_name(status.st_gid)}`"
    return ""


def is_open_to_all(folder: os.stat_result) -> bool:
    """Whether everybody may put another file in the place of any that lies in a folder."""
    return bool(folder.st_mode & stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX


def why_not_ours(path: Path, *, folder: bool = True) -> str:
    """Why a file that was found is not to be believed, for people; empty where it is. Raises `OSError`.

    `folder` False: that nobody else may write the file, and we or root made it, is enough.
    """
    for _ in range(LINKS_MAX):
        found = path.lstat()
        reason = _against_file(path, found) or (_against_folder(path.parent) if folder else "")
        if reason:
            return reason
        if not stat.S_ISLNK(found.st_mode):
            return ""
        path = path.parent / path.readlink()
    return f"`{path}` is a link that leads to too many others"


def check_folder(folder: Path, *, found: bool, tell: Callable[[str, str], None]) -> None:
    """Raise `ConfigError` for a folder in which all may replace what is there, or that was `found` and is not ours.

    `tell(message, hint)` hears where others than we and root may. A folder that is missing is fine. Raises `OSError`.
    """
    if not folder.exists():
        return
    status, name = folder.stat(), shlex.quote(str(folder))
    if is_open_to_all(status):
        raise ConfigError(
            f"the folder `{folder}` can be written by everybody, who could replace the ledger and the reports in it",
            hint=f"`chmod o-w {name}`, or name another one with `--reports` and `--ledger`",
        )
    owner = next((each.st_uid for each in (folder.lstat(), status) if not is_ours(each.st_uid)), None)
    if owner is not None:
        whose = f"the folder `{folder}` belongs to `{user_name(owner)}`"
        if found:
            raise ConfigError(f"{whose}, and was found, not named", hint=f"`--reports {name}` uses it all the same")
        tell(
            f"{whose}, who can take away or replace what is in it", "a folder of your own keeps reports and ledger safe"
        )
    elif not status.st_mode & stat.S_ISVTX and (writers := other_writers(status)):
        message = f"the folder `{folder}` can be written by {writers}, who can take away or replace what is in it"
        tell(message, f"`chmod g-w {name}`, if that is not meant")


def _against_file(path: Path, found: os.stat_result) -> str:
    if not is_ours(found.st_uid):
        return f"`{path}` belongs to `{user_name(found.st_uid)}`"
    writers = "" if stat.S_ISLNK(found.st_mode) else other_writers(found)  # a link's own mode says nothing
    return f"`{path}` can be written by {writers}" if writers else ""


def _against_folder(folder: Path) -> str:
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) and not is_ours(found.st_uid):
        return f"the link `{folder}` belongs to `{user_name(found.st_uid)}`"
    found = folder.stat()
    if not is_ours(found.st_uid):
        return f"its folder `{folder}` belongs to `{user_name(found.st_uid)}`"
    writers = "" if found.st_mode & stat.S_ISVTX else other_writers(found)
    return f"its folder `{folder}` can be written by {writers}" if writers else ""


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _has_others(gid: int, owner: int) -> bool:
    """Whether anybody is known to be in a group but root, us and the owner; of a group that nobody knows it is so,
    unless it is one of ours, as in a container that has no list of users.
    """
    known = {owner, os.geteuid(), ROOT}
    users = pwd.getpwall()
    try:
        names = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        if gid not in (os.getegid(), *os.getgroups()):
            return True
        names = set()
    names -= {user.pw_name for user in users if user.pw_uid in known}
    return bool(names) or any(user.pw_gid == gid and user.pw_uid not in known for user in users)
