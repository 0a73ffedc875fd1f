"""Devices by name: where they are, and what to do when they are not."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import List, NoReturn, Tuple

from . import sentences
from .errors import Status, error
from .node import Node

_NODES = "/dev/kp"
_NAME = re.compile(r"([a-z0-9_-]{1,31})(?:\.(0|[1-9][0-9]{0,9}))?", re.ASCII)


def open_node(name: str) -> Tuple[Node, str]:
    """Opens a device, `card` the lowest or `card.1` that one, and says where it is.

    With KP_NODE in the environment: what listens on that socket, whatever the name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f'"{name}": {sentences.BAD_NAME}')
    if sys.platform == "win32":
        from .windows import open_device

        return open_device(name, lowest)
    else:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "kp runs on Linux and on Windows")
        socket = _socket()
        if socket:
            from .simulator import SocketNode

            return SocketNode(socket, name.partition(".")[0]), socket
        from .linux import LinuxNode

        path = f"{_NODES}/{lowest(name, _listed())}"
        try:
            return LinuxNode(path), path
        except OSError as failed:
            _refused(failed, path, name.partition(".")[0])


def lowest(name: str, there: List[str]) -> str:
    """The name itself; if it leaves open which device, that of the lowest number."""
    plugin, _, number = name.partition(".")
    numbers = [int(other.partition(".")[2]) for other in there if other.startswith(f"{plugin}.") and _NAME.fullmatch(other)]
    if number or name in there or not numbers:
        return name
    return f"{plugin}.{min(numbers)}"


def _listed() -> List[str]:
    try:
        with os.scandir(_NODES) as entries:
            # Folders and links are second names.
            return [entry.name for entry in entries if not entry.is_symlink() and not entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # opening then says why


def _socket() -> str:
    """What KP_NODE says, if this program runs with its user's own rights."""
    if sys.platform == "win32" or os.getuid() != os.geteuid() or os.getgid() != os.getegid():
        return ""
    return os.environ.get("KP_NODE", "")


def _refused(failed: OSError, path: str, plugin: str) -> NoReturn:
    """What open(2) has answered, with what to do. A driver's own answer comes as the errno of its class."""
    module = f"kp_{plugin.replace('-', '_')}"
    code = failed.errno or 0
    if code in (errno.ENODEV, errno.ENXIO):
        raise error(Status.DEVICE_GONE, 0, path) from None
    if code == errno.EIO:
        raise error(Status.POISONED, 0, path) from None
    fields = {"plugin": plugin, "module": module, "place": path, "group": _let_in(path)}
    if code in (errno.ENOENT, errno.ENOTDIR):
        why = sentences.NO_NODE_OF_LOADED if os.path.exists(f"/sys/module/{module}") else sentences.NO_NODE
    elif code == errno.EACCES:
        why = sentences.NOT_IN_GROUP if fields["group"] else sentences.DENIED
    elif code == errno.EPERM:
        why = sentences.NOT_PERMITTED
    else:
        raise OSError(code, failed.strerror, path) from None
    raise OSError(code, why.format(**fields), path) from None


def _let_in(path: str) -> str:
    """The group that may open a node for reading and writing, by its name, or its number if it has none. Empty: none but root's."""
    if sys.platform != "win32":
        import grp

        try:
            node = os.stat(path)
            if node.st_gid and node.st_mode & 0o060 == 0o060:
                return grp.getgrgid(node.st_gid).gr_name
        except KeyError:
            return str(node.st_gid)
        except OSError:
            pass
    return ""
