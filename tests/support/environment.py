"""Settings that are all right, and what a reading of wrong ones is refused with."""

import pytest

from app.environment import RunEnvironment, load
from app.setting_problems import SettingsError

SECRET = "s3cret-that-nobody-may-see"
KAFKA = {
    "RECHARGE_KAFKA__BOOTSTRAP_SERVERS": "kafka-1.example.net:9093",
    "RECHARGE_KAFKA__SOURCE": "topups-2026",
    "RECHARGE_KAFKA__SASL_USERNAME": "recharge",
    "RECHARGE_KAFKA__SASL_PASSWORD": SECRET,
}
MYSQL = {"RECHARGE_MYSQL__URL": f"mysql://recharge:{SECRET}@127.0.0.1:3306/recharge"}
PROVIDER = {"RECHARGE_PROVIDER__URL": "https://provider.example.net/recharges"}
PRIVACY = {"RECHARGE_PRIVACY__HASH_KEY": SECRET}
ALL = KAFKA | MYSQL | PROVIDER | PRIVACY


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(RunEnvironment, environ)
    error = caught.value
    assert SECRET not in str(error) + repr(error) + "".join(error.lines)
    assert error.__cause__ is None, "what pydantic said is not shown beneath"
    assert all(line.isprintable() for line in error.lines)
    return error.lines
