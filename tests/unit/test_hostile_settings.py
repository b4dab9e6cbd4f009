"""Whatever stands in a setting's variable: it is taken, or refused in a line that names it, and never shown."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.environment import CodecServerEnvironment, Environment, RunEnvironment, load, section_models
from app.setting_problems import LINES_MAX, SettingsError, variable
from tests.support.environment import ALL, SECRET

CODEC = {"RECHARGE_CODEC_SERVER__TOKEN": SECRET}
SETTINGS = [
    (kind, section, name)
    for kind in (RunEnvironment, CodecServerEnvironment)
    for section, model in section_models(kind).items()
    if kind is RunEnvironment or section == "codec_server"
    for name in model.model_fields
]
VALID = {RunEnvironment: ALL, CodecServerEnvironment: CODEC}
LIKELY = [
    "", " ", "true", "no", "0", "-1", "1e400", "nan", "inf", "-0.0", "9" * 400, "1_000", "٣٤", "null", "[]", "{}", "…",
    "/", "/dev/null", "/proc/self/mem", "/nowhere", "~", "$HOME", "a" * 100_000, "\ud800", "\udcff", "\u202e", "\r\n", "\x1b[2J",
    "https://", "https://h:99999/", "https://[::1", "https://h/{reference}", "http://127.0.0.1/", "https://u:p@h/", "https://h/#x",
    "mysql://", "mysql://u:p@h:x/d", "mysql://u@h/d?ssl_ca=", "mysql://u@h/d?ssl_ca=/x&ssl_ca=/y", "mysql://u:%zz@[h/d",
    "h:1", ":1", "h:0", "h:99999999999999999999", "[::1]:9", "a:b,c:d", "h:1,", ",", ";", "none", "partition", "SASL_SSL", "PLAINTEXT",
    "401,abc", "401,,403", "999", "1:AAAA", "1:" + "A" * 44, "a.b.c", "os", "activities.profile", "Host", "X Y", "-",
]  # fmt: skip
"""What people paste into the wrong variable, and what parsers stumble over."""

# An environment variable holds neither a null nor what cannot be encoded, but for single bytes that are no UTF-8.
texts = st.one_of(
    st.sampled_from(LIKELY),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60),
    st.text("\udc80\udcff0a:/.", max_size=20),
    st.one_of(st.integers(), st.floats(), st.decimals(), st.booleans()).map(str),
    st.from_regex(r"\A(https?|mysql)://[ -~]{0,40}\Z"),
    st.from_regex(r"\A[ -~]{1,20}:[0-9]{1,6}\Z"),
)


def refusal(kind: type[Environment], environ: dict[str, str]) -> SettingsError | None:
    """Why settings are refused; None where they are taken."""
    try:
        load(kind, environ)
    except SettingsError as refused:
        return refused
    return None


@pytest.mark.parametrize(("kind", "section", "name"), SETTINGS, ids=lambda each: getattr(each, "__name__", each))
@settings(max_examples=40)
@given(text=texts, in_file=st.booleans())
@example(text="\udcff", in_file=False)
@example(text="", in_file=True)
def test_a_setting_is_taken_or_refused_in_a_line_that_names_it(
    kind: type[Environment], section: str, name: str, text: str, in_file: bool
) -> None:
    full = variable(section, name)
    given_as = f"{full}_FILE" if in_file else full
    environ = {key: value for key, value in VALID[kind].items() if key != full} | {given_as: text}
    refused = refusal(kind, environ)
    if refused is None:
        return
    assert len(str(refused).splitlines()) == min(len(refused.lines), LINES_MAX)
    assert all(line.isprintable() and len(line) < 600 for line in refused.lines), refused.lines
    # A rule over several settings may name the other one; both are of one section.
    assert any(line.startswith(full) for line in refused.lines) or all(
        line.startswith(variable(section, "")) for line in refused.lines
    ), refused.lines
    assert refused.__cause__ is None
    if len(text) > 12 and text not in LIKELY:
        assert text not in str(refused)


@given(names=st.lists(st.from_regex(r"\ARECHARGE_[A-Za-z_]{0,30}\Z"), max_size=4), text=texts)
def test_a_name_that_is_almost_one_of_ours_is_refused_in_a_line_that_names_it(names: list[str], text: str) -> None:
    ours = {variable(section, name) for _, section, name in SETTINGS}
    strangers = [name for name in names if name.removesuffix("_FILE") not in ours and name != "RECHARGE_ENV_FILE"]
    refused = refusal(RunEnvironment, ALL | dict.fromkeys(strangers, text))
    lines = () if refused is None else refused.lines
    assert all(line.isprintable() and any(line.startswith(f"{name} ") for name in strangers) for line in lines), lines
