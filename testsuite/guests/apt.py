"""Debian packages without touching the host's package database.

A private apt configuration, with its own state, lists, cache and an empty
dpkg status file, lets an unprivileged user on any Debian-like host resolve and
download packages of both x86 architectures (apt.conf(5), apt-get(8)).
"""

import os
import re
import shutil
import subprocess
import tarfile
import time

SUITE = "bookworm"
ARCHITECTURES = ("amd64", "i386")
LISTS_FRESH_SECONDS = 24 * 3600
KEYRING_DIRECTORIES = ("/usr/share/keyrings", "/etc/apt/trusted.gpg.d")


class AptError(Exception):
    """One sentence for the user."""


class PrivateApt:
    """apt-get and apt-cache confined to one directory."""

    def __init__(self, root, mirror, security_mirror):
        self.root = os.path.abspath(root)
        self.config = os.path.join(self.root, "apt.conf")
        self.downloads = os.path.join(self.root, "packages")
        self.mirror = mirror
        self.security_mirror = security_mirror

    def _path(self, *names):
        return os.path.join(self.root, *names)

    def prepare(self):
        """Writes the configuration and fetches package lists if they are older than a day."""
        keyring = next((f"{d}/debian-archive-keyring.gpg" for d in KEYRING_DIRECTORIES
                        if os.path.exists(f"{d}/debian-archive-keyring.gpg")), None)
        if keyring is None:
            raise AptError("Debian's archive keys are missing: install the package debian-archive-keyring.")
        for directory in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "packages"):
            os.makedirs(self._path(directory), exist_ok=True)
        open(self._path("status"), "a").close()
        sources = (f"deb [signed-by={keyring}] {self.mirror} {SUITE} main\n"
                   f"deb [signed-by={keyring}] {self.mirror} {SUITE}-updates main\n"
                   f"deb [signed-by={keyring}] {self.security_mirror} {SUITE}-security main\n")
        # The host's hooks are cleared: a container's clean-up hook would delete the host's own cache.
        config = f"""\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "amd64";
APT::Architectures {{ {" ".join(f'"{a}";' for a in ARCHITECTURES)} }};
APT::Sandbox::User "root";
APT::Default-Release "";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{self._path('state')}";
Dir::State::status "{self._path('status')}";
Dir::Cache "{self._path('cache')}";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "{self._path('sources.list')}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{self._path('etc/preferences.d')}";
"""
        stamp = self._path("lists-updated")
        unchanged = _read(self.config) == config and _read(self._path("sources.list")) == sources
        fresh = os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < LISTS_FRESH_SECONDS
        if unchanged and fresh:
            return
        _write(self._path("sources.list"), sources)
        _write(self.config, config)
        result = self._run(["apt-get", "update", "--quiet=2"])
        if result.returncode != 0:
            # A mirror in the middle of its sync, or no network and yesterday's
            # lists: enough, as long as they name packages of both architectures.
            if not all(self._run(["apt-cache", "show", f"busybox-static:{a}"]).stdout for a in ARCHITECTURES):
                raise AptError(f"apt-get update failed against {self.mirror}: {_last_error(result)}")
        _write(stamp, "")

    def real_package(self, meta, architecture):
        """The versioned package a meta package such as `linux-image-amd64` depends on."""
        text = self._show(meta, architecture)
        depends = re.search(r"^Depends: (.*)$", text, re.M)
        name = depends and re.match(r"[a-z0-9.+-]+", depends.group(1))
        if not name:
            raise AptError(f"The Debian package {meta} names no real package in its Depends field.")
        return name.group(0)

    def download(self, package, architecture):
        """Path of the newest .deb of the package, downloaded unless it is there already."""
        text = self._show(package, architecture)
        version, real_architecture = (re.search(rf"^{field}: (\S+)$", text, re.M).group(1) for field in ("Version", "Architecture"))
        name = f"{package}_{version.replace(':', '%3a')}_{real_architecture}.deb"
        path = os.path.join(self.downloads, name)
        if not os.path.exists(path):
            result = self._run(["apt-get", "download", "--quiet=2", f"{package}:{architecture}"], cwd=self.downloads)
            if result.returncode != 0 or not os.path.exists(path):
                raise AptError(f"The Debian package {package}:{architecture} could not be downloaded: {_last_error(result)}")
        return path

    def _show(self, package, architecture):
        result = self._run(["apt-cache", "show", "--no-all-versions", f"{package}:{architecture}"])
        if result.returncode != 0 or not result.stdout:
            raise AptError(f"Debian {SUITE} has no package {package}:{architecture} at {self.mirror}.")
        return result.stdout

    def _run(self, command, cwd=None):
        try:
            return subprocess.run([command[0], "-c", self.config, *command[1:]], cwd=cwd, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        except FileNotFoundError:
            raise AptError(f"{command[0]} is missing: guests come from Debian packages, so a Debian or Ubuntu host with apt is needed.")


def extract(package, wanted):
    """Writes members of a .deb: `wanted(name)` gives a destination path or None. Returns the names written."""
    try:
        archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    except FileNotFoundError:
        raise AptError("dpkg-deb is missing: install the package dpkg.")
    written = []
    with tarfile.open(fileobj=archive.stdout, mode="r|") as members:
        for member in members:
            destination = wanted(member.name.removeprefix("./")) if member.isfile() else None
            if destination is None:
                continue
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            with open(destination + ".part", "wb") as output:
                shutil.copyfileobj(members.extractfile(member), output)
            os.chmod(destination + ".part", member.mode & 0o777 | 0o600)
            os.replace(destination + ".part", destination)
            written.append(member.name.removeprefix("./"))
    archive.stdout.close()
    if archive.wait() != 0:
        raise AptError(f"{package} is damaged: delete it and fetch again.")
    return written


def _last_error(result):
    lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
    return lines[-1][2:].strip() if lines else f"exit code {result.returncode}."


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)
