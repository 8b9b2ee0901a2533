"""Writes initramfs images: cpio "newc" archives (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

Needs neither root nor a cpio tool, and the same input gives the same bytes:
every owner is root, every time is zero, inodes count up.
"""

import gzip
import os
import stat


class Archive:
    def __init__(self):
        self._parts = []
        self._inode = 0
        self._directories = set()

    def _add(self, name, mode, data=b"", links=1, device=(0, 0)):
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, device[0], device[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._parts += [header, _padding(header), data, _padding(data)]
        self._inode += 1

    def directory(self, name, mode=0o755):
        """A directory and, before it, those above it."""
        name = name.strip("/")
        if not name or name in self._directories:
            return
        self.directory(os.path.dirname(name))
        self._directories.add(name)
        self._add(name, stat.S_IFDIR | mode, links=2)

    def file(self, name, data, mode=0o644):
        self.directory(os.path.dirname(name))
        self._add(name.strip("/"), stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.directory(os.path.dirname(name))
        self._add(name.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor, mode=0o600):
        self.directory(os.path.dirname(name))
        self._add(name.strip("/"), stat.S_IFCHR | mode, device=(major, minor))

    def bytes(self):
        body = b"".join(self._parts)
        end = Archive()
        end._add("TRAILER!!!", 0)
        body += b"".join(end._parts)
        return body + b"\0" * (-len(body) % 512)

    def write(self, path, compress=True):
        data = gzip.compress(self.bytes(), 9, mtime=0) if compress else self.bytes()
        with open(path + ".part", "wb") as file:
            file.write(data)
        os.replace(path + ".part", path)


def _padding(data):
    return b"\0" * (-len(data) % 4)
