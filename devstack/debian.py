"""What Debian's package manager can do for the local stack: install as root, or unpack without being root."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from devstack.commands import run
from devstack.errors import DevstackError

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive"}


def require_root(packages: Sequence[str], what: str) -> None:
    """Check that packages can be installed.

    Raises:
        DevstackError: without root or apt-get, saying what to install.
    """
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise DevstackError(f"Missing: {what}. Install as root: apt-get install {' '.join(packages)}")


def install_packages(packages: Sequence[str]) -> None:
    """Install packages on this machine, as root.

    Raises:
        DevstackError: when apt-get failed, with what it said.
    """
    what = f"Installing {' '.join(packages)}"
    argv = ["apt-get", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "install", *packages]
    try:
        run(what, argv, _UNATTENDED)
    except DevstackError:
        # The lists are missing, or older than the archive. Once more with new ones.
        run("Fetching the package lists", ["apt-get", "-o", "DPkg::Lock::Timeout=300", "update"], _UNATTENDED)
        run(what, argv, _UNATTENDED)


def unpack_packages(suite: str, packages: Sequence[str], folder: Path) -> None:
    """Unpack packages of a Debian suite and all that they depend on into `folder`, without installing anything.

    Only downloads and unpacks: no root, no change of the machine. The tree has its own C library.

    Raises:
        DevstackError: where this is not a Debian with apt-get, or when the download failed.
    """
    if shutil.which("apt-get") is None or not _KEYRING.exists():
        raise DevstackError("this machine has no apt-get with Debian's keys")
    work = folder / ".apt"
    configuration = _write_configuration(work, suite)
    environment = _UNATTENDED | {"APT_CONFIG": str(configuration)}
    names = " ".join(packages)
    run(f"Fetching the package lists of Debian {suite}", ["apt-get", "update"], environment)
    run(f"Downloading {names}", ["apt-get", "-y", "--download-only", "install", *packages], environment)
    for archive in sorted((work / "cache" / "archives").glob("*.deb")):
        run(f"Unpacking {archive.name}", ["dpkg-deb", "--extract", str(archive), str(folder)])
    shutil.rmtree(work)


def download_package(package: str, folder: Path) -> None:
    """Unpack one package of this machine's own Debian into `folder`, without what it depends on and without installing it.

    Raises:
        DevstackError: without apt-get, or when the download failed.
    """
    what, argv = f"Downloading {package}", ["apt-get", "download", package]
    archives = folder / ".archives"
    archives.mkdir()
    try:
        run(what, argv, _UNATTENDED, archives)
    except DevstackError:
        # The lists are missing, or older than the archive. Once more with new ones.
        run("Fetching the package lists", ["apt-get", "-o", "DPkg::Lock::Timeout=300", "update"], _UNATTENDED)
        run(what, argv, _UNATTENDED, archives)
    for archive in archives.glob("*.deb"):
        run(f"Unpacking {archive.name}", ["dpkg-deb", "--extract", str(archive), str(folder)])
    shutil.rmtree(archives)


def _write_configuration(work: Path, suite: str) -> Path:
    """A package manager's world of its own: other sources, nothing installed, everything below `work`."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_archive_uri()} {suite} main\n")
    configuration = work / "apt.conf"
    settings = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "3",
    }
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return configuration


def _archive_uri() -> str:
    """The Debian archive that this machine's own package manager uses."""
    argv = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    targets = [line.split() for line in run("Asking apt-get for its archive", argv).splitlines()]
    for label, *uri in targets:
        if label == "Debian" and uri:
            return uri[0]
    raise DevstackError("this machine's apt-get has no Debian archive in its sources")
