"""The settings of one process, read once from its environment and checked before anything starts.

`RECHARGE_SECTION__FIELD` is a setting, `RECHARGE_SECTION__FIELD_FILE` names a file that holds its value, and
`RECHARGE_ENV_FILE` names a file of such lines, over which the real environment wins. Each process reads its own
sections alone: what is wrong or missing in another process's settings never stops it. A name that nobody knows is
refused, since a misspelt setting would silently be a default.

The variables are read here rather than by pydantic-settings, which would parse lists as JSON, take names in any letter
case, skip lines of a file that it cannot read, and has no files for single secrets.
"""

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.env_file import file_variables
from app.setting_problems import (
    FILE_SUFFIX,
    PREFIX,
    FileProblemError,
    Given,
    Reading,
    SettingsError,
    one_underscore,
    read_small_file,
    unknown_field,
    unknown_section,
    validation_problems,
    variable,
)
from recharge.codec_settings import CodecServerSettings
from recharge.settings import (
    HttpSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    MySQLSettings,
    PrivacySettings,
    ProviderSettings,
    Section,
    TemporalSettings,
)


class Environment(BaseModel):
    """The sections that one process reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    log: LogSettings


class IngestEnvironment(Environment):
    """What `recharge ingest` reads."""

    kafka: KafkaSettings
    ingest: IngestSettings
    temporal: TemporalSettings
    privacy: PrivacySettings
    http: HttpSettings


class WorkerEnvironment(Environment):
    """What `recharge worker` reads."""

    mysql: MySQLSettings
    provider: ProviderSettings
    temporal: TemporalSettings
    http: HttpSettings


class RunEnvironment(IngestEnvironment, WorkerEnvironment):
    """What `recharge run` reads: intake and worker in one process."""


class MigrateEnvironment(Environment):
    """What `recharge migrate` reads."""

    mysql: MySQLSettings
    temporal: TemporalSettings


class ProduceEnvironment(Environment):
    """What `recharge produce` reads."""

    kafka: KafkaSettings


class ResolveEnvironment(Environment):
    """What `recharge resolve` and `recharge hold` read."""

    kafka: KafkaSettings
    mysql: MySQLSettings
    provider: ProviderSettings
    temporal: TemporalSettings


class PauseEnvironment(Environment):
    """What `recharge pause` and `recharge resume` read."""

    kafka: KafkaSettings
    temporal: TemporalSettings


class AuditEnvironment(Environment):
    """What `recharge audit` reads."""

    kafka: KafkaSettings
    ingest: IngestSettings
    mysql: MySQLSettings
    provider: ProviderSettings
    temporal: TemporalSettings


class RedriveEnvironment(Environment):
    """What `recharge redrive` reads."""

    kafka: KafkaSettings
    mysql: MySQLSettings


class AcceptGapEnvironment(Environment):
    """What `recharge accept-gap` reads."""

    kafka: KafkaSettings
    mysql: MySQLSettings
    temporal: TemporalSettings


class ShowEnvironment(Environment):
    """What `recharge show` reads."""

    kafka: KafkaSettings
    mysql: MySQLSettings
    temporal: TemporalSettings


class StatusEnvironment(Environment):
    """What `recharge status` reads."""

    kafka: KafkaSettings
    mysql: MySQLSettings
    temporal: TemporalSettings


class ReplayEnvironment(Environment):
    """What `recharge replay` reads. Files need none of it."""

    temporal: TemporalSettings


class RedactEnvironment(Environment):
    """What `recharge redact` reads."""

    mysql: MySQLSettings


class CodecServerEnvironment(Environment):
    """What `recharge codec-server` reads."""

    codec_server: CodecServerSettings
    temporal: TemporalSettings


class FindEnvironment(Environment):
    """What `recharge find` reads."""

    temporal: TemporalSettings


class FindPhoneEnvironment(FindEnvironment):
    """What it reads besides to find a customer's records."""

    privacy: PrivacySettings


def section_models(kind: type[Environment]) -> dict[str, type[Section]]:
    """The sections of an environment by their names, as they stand in it."""
    models: dict[str, type[Section]] = {}
    for name, info in kind.model_fields.items():
        assert isinstance(info.annotation, type), f"{name} must be a plain section"  # noqa: S101  # a slip of ours, not a user's
        assert issubclass(info.annotation, Section), f"{name} must be a section"  # noqa: S101
        models[name] = info.annotation
    return models


# A section that another process reads is not this one's to judge.
_ALL_SECTION_NAMES = frozenset(
    name.upper() for kind in (RunEnvironment, CodecServerEnvironment) for name in section_models(kind)
)


E = TypeVar("E", bound=Environment)


def load(kind: type[E], environ: Mapping[str, str] | None = None) -> E:
    """Read and check the settings of one process, by default from the process's own environment.

    Raises SettingsError with a line for each setting that is wrong or missing.
    """
    environ = os.environ if environ is None else environ
    models = section_models(kind)
    reading = Reading()
    # The environment's setting replaces that of the file, whichever of the two spellings (NAME, NAME_FILE) each has.
    for layer in (file_variables(environ), environ):
        reading.given.update(_read_layer(layer, models, reading))
    values: dict[str, dict[str, str]] = {section: {} for section in models}
    for (section, name), given in reading.given.items():
        values[section][name] = given.text
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        reading.problems += validation_problems(error, models, reading)
        raise SettingsError(reading.problems) from None
    if reading.problems:
        raise SettingsError(reading.problems)
    return settings


def _read_layer(
    layer: Mapping[str, str], models: Mapping[str, type[Section]], reading: Reading
) -> dict[tuple[str, str], Given]:
    given: dict[tuple[str, str], Given] = {}
    for name in sorted(layer):
        section, separator, rest = name.removeprefix(PREFIX).partition("__")
        if not name.startswith(PREFIX):
            continue
        if not separator:
            # Others may be somebody else's, or one such as RECHARGE_ENV_FILE, which is no setting of a section.
            reading.problems += one_underscore(name, models)
            continue
        model = models.get(section.lower()) if section.isupper() else None
        if model is None:
            if section not in _ALL_SECTION_NAMES:
                reading.problems += unknown_section(name, section, models)
            continue
        found = _field_of(rest, model)
        if found is None:
            reading.problems.append(unknown_field(name, section.lower(), rest, model))
            continue
        key, is_file = (section.lower(), found[0]), found[1]
        if key in given:
            reading.refuse(key, f"{variable(*key)} and {variable(*key)}{FILE_SUFFIX} are both given; leave one out")
            continue
        text = layer[name]
        if is_file:
            try:
                text = read_small_file(text).removesuffix("\n").removesuffix("\r")
            except FileProblemError as problem:
                reading.refuse(key, f"{name} {problem}; for example {name}=/run/secrets/{key[0]}_{key[1]}")
                continue
        given[key] = Given(name, text)
    return given


def _field_of(rest: str, model: type[Section]) -> tuple[str, bool] | None:
    """The field that this part of a variable's name means, and whether the variable names a file with its value."""
    lowered = rest.lower()
    if rest != rest.upper():
        return None
    if lowered in model.model_fields:
        return lowered, False
    name = lowered.removesuffix(FILE_SUFFIX.lower())
    return (name, True) if name != lowered and name in model.model_fields else None
