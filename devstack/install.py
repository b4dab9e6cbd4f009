"""Fetches what the local stack is made of, once: Java, Apache Kafka, MySQL.

`python -m devstack.install` fetches everything and says for each thing what, why and how long; every part is skipped
where it is there already. With `--for-tests` the tests' browser and Prometheus are fetched as well.
"""

import dataclasses
import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from devstack.browser import ensure_chromium
from devstack.cache import cache_folder, ensure_built
from devstack.commands import run
from devstack.debian import install_packages, require_root, unpack_packages
from devstack.errors import DevstackError
from devstack.faketime import ensure_faketime
from devstack.promtool import ensure_prometheus

Report = Callable[[str], None]

_POM: Final = Path(__file__).with_name("pom.xml")
_JAVA_VERSION_MIN: Final = 17
_JAVA_PACKAGE: Final = "default-jre-headless"
# Quick to start rather than quick for days: the small garbage collector and the first compiler alone.
_JAVA_OPTIONS: Final = (
    "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)  # fmt: skip
# Small, since every stack copies the empty data folder; a durable commit costs the same.
REDO_LOG_OPTION: Final = "--innodb-redo-log-capacity=32M"
_MYSQL_VERSION_MIN: Final = (8, 4)
_MYSQL_HINT: Final = "Install MySQL 8.4 or newer and name its server program: MYSQLD=/path/to/mysqld"


@dataclasses.dataclass(frozen=True)
class MySQLInstallation:
    """A MySQL server that can be run: the program with the arguments that every run of it needs, and its version.

    `empty_data` is an initialised data folder without a ledger, for copying: ten times quicker than making one.
    """

    argv: tuple[str, ...]
    version: str
    empty_data: Path


@dataclasses.dataclass(frozen=True)
class KafkaInstallation:
    """An Apache Kafka that can be run: the Java program and the options of every run, the class path among them.

    `class_archive` is where the classes that Java has loaded and checked once are kept, which halves later starts; the
    broker that finds it missing writes it when it is stopped.
    """

    java: Path
    options: tuple[str, ...]
    class_archive: Path


def _silent(_message: str) -> None:
    """Report nothing."""


def ensure_java(report: Report = _silent) -> Path:
    """The `java` program, 17 or newer, from JAVA_HOME or PATH; installed by apt-get as root where it is missing.

    Raises:
        DevstackError: where it cannot be had, saying what to install.
    """
    if (java := _find_java()) is None:
        _install({_JAVA_PACKAGE: "Java (runs Kafka)"}, report)
        java = _find_java()
    if java is None:
        raise DevstackError(f"Java {_JAVA_VERSION_MIN} or newer, for Kafka, is missing: install it, or set JAVA_HOME.")
    return java


def ensure_kafka(report: Report = _silent) -> KafkaInstallation:
    """Apache Kafka's jars and the Java that runs them.

    Raises:
        DevstackError: where Java or Maven is missing and cannot be installed, or the download failed.
    """
    name = f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    # Both are asked for at once, so that who has to install them by hand is told once.
    missing = {} if _find_java() else {_JAVA_PACKAGE: "Java (runs Kafka)"}
    if not (cache_folder() / name).exists() and shutil.which("mvn") is None:
        missing["maven"] = "Maven (fetches Kafka)"
    if missing:
        _install(missing, report)
    java = ensure_java(report)

    def build(folder: Path) -> None:
        report("fetching Apache Kafka (the topic's broker; 44 MB, about 10 s)")
        argv = [
            "mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "--file", str(_POM),
            "dependency:copy-dependencies", f"-DoutputDirectory={folder}",
        ]  # fmt: skip
        run("Fetching Apache Kafka", argv)

    jars = ensure_built(name, build)
    options = (*_JAVA_OPTIONS, "-cp", ":".join(str(jar) for jar in sorted(jars.glob("*.jar"))))
    # Java refuses an archive that another Java or other options made, so each has its own.
    key = hashlib.sha256(repr((java.resolve(), java.stat().st_mtime_ns, options)).encode()).hexdigest()[:12]
    return KafkaInstallation(java, options, jars / f"classes-{key}.jsa")


def ensure_mysql(report: Report = _silent) -> MySQLInstallation:
    """MySQL's server: the program named by MYSQLD, or `mysqld` on PATH, or one unpacked from Debian's archive.

    Raises:
        DevstackError: where none can be had, naming MYSQLD.
    """
    argv, version = _find_mysql(report)

    def initialise(folder: Path) -> None:
        report("initialising MySQL's empty data folder (copied by every stack; 100 MB, about 5 s)")
        options = (*mysql_options_as_root(), REDO_LOG_OPTION, f"--datadir={folder}", "--initialize-insecure")
        run("Initialising MySQL's data folder", [*argv, *options])
        # The server's identity and keys must not be the same in every copy.
        for file in [folder / "auto.cnf", *folder.glob("*.pem")]:
            file.unlink(missing_ok=True)

    return MySQLInstallation(argv, version, ensure_built(f"mysql-data-{version}", initialise))


def mysql_options_as_root() -> tuple[str, ...]:
    """What tells MySQL that it may run as root, where this process does."""
    return ("--user=root",) if os.geteuid() == 0 else ()


def _install(packages: Mapping[str, str], report: Report) -> None:
    what = " and ".join(packages.values())
    require_root(list(packages), what)
    report(f"installing {what} by apt-get; 100 to 300 MB, about half a minute")
    install_packages(list(packages))


def _find_java() -> Path | None:
    candidates = [Path(home) / "bin" / "java"] if (home := os.environ.get("JAVA_HOME")) else []
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    for java in candidates:
        if java.exists() and _java_version(java) >= _JAVA_VERSION_MIN:
            return java
    return None


def _java_version(java: Path) -> int:
    # The release file stands beside the program and spares starting a Java machine at every start of the stack.
    release = java.resolve().parent.parent / "release"
    text = release.read_text() if release.exists() else run("Asking Java for its version", [str(java), "--version"])
    found = re.search(r'JAVA_VERSION="(\d+)', text) or re.search(r"(\d+)\.", text)
    return int(found[1]) if found else 0


def _find_mysql(report: Report) -> tuple[tuple[str, ...], str]:
    """The arguments that run the server, and its version."""
    if configured := os.environ.get("MYSQLD"):
        if (version := _mysql_version((configured,))) is None:
            raise DevstackError(f"MYSQLD={configured} is not a MySQL server of 8.4 or newer. {_MYSQL_HINT}")
        return (configured, "--no-defaults"), version
    if (on_path := shutil.which("mysqld")) and (version := _mysql_version((on_path,))):
        return (on_path, "--no-defaults"), version
    return _debian_mysql(report)


def _mysql_version(argv: tuple[str, ...]) -> str | None:
    try:
        text = run("Asking MySQL for its version", [*argv, "--no-defaults", "--version"])
    except DevstackError:
        return None
    # MariaDB answers under the same name; it is another database.
    found = re.search(r"Ver (\d+)\.(\d+)\.(\d+)", text)
    if found is None or "MariaDB" in text or (int(found[1]), int(found[2])) < _MYSQL_VERSION_MIN:
        return None
    return ".".join(found.groups())


def _debian_mysql(report: Report) -> tuple[tuple[str, ...], str]:
    def build(folder: Path) -> None:
        report("fetching MySQL (the ledger's database; from Debian unstable into a private folder; 60 MB, about 15 s)")
        unpack_packages("sid", ["mysql-server-core"], folder)
        version = _mysql_version(_tree_program(folder))
        if version is None:
            raise DevstackError("the unpacked server does not run on this machine")
        (folder / "VERSION").write_text(version)

    try:
        tree = ensure_built(f"mysql-sid-{platform.machine()}", build)
    except DevstackError as error:
        raise DevstackError(f"MySQL cannot be fetched: {error} {_MYSQL_HINT}") from error
    usr = tree / "usr"
    argv = (*_tree_program(tree), "--no-defaults", f"--basedir={usr}", f"--lc-messages-dir={usr / 'share' / 'mysql'}")
    return argv, (tree / "VERSION").read_text()


def _tree_program(tree: Path) -> tuple[str, ...]:
    """How to run the unpacked server: by its own loader and C library, which are newer than this machine's."""
    loaders = sorted(tree.glob("usr/lib/*/ld-linux-*.so.*"))
    if not loaders:
        raise DevstackError("the unpacked tree has no loader for this machine's processor")
    library_path = f"{loaders[0].parent}:{tree / 'usr' / 'lib'}"
    return (str(loaders[0]), "--library-path", library_path, str(tree / "usr" / "sbin" / "mysqld"))


def ensure_everything(report: Report = _silent) -> None:
    """Fetch every part that is missing.

    Raises:
        DevstackError: where one cannot be had, saying what to do.
    """
    ensure_kafka(report)
    ensure_mysql(report)
    ensure_faketime(report)


def main(*, for_tests: bool) -> int:
    """Fetch everything with a progress display; the exit status."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("looking for Java, Kafka and MySQL", total=None)

            def report(message: str) -> None:
                progress.update(task, description=message)
                progress.console.print(f"devstack: {message}", highlight=False, soft_wrap=True)

            ensure_everything(report)
            if for_tests:
                ensure_chromium(report)
                ensure_prometheus(report)
    except DevstackError as error:
        console.print(f"devstack: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(f"devstack: Java, Kafka and MySQL are ready ({cache_folder()}).", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(for_tests="--for-tests" in sys.argv[1:]))
