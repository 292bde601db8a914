"""No password survives ``redact``, wherever in a text it stands and however it is written."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.redact import redact

# Any visible character may be in a password, "/", "@", ":" and quotes among them.
PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF).filter(lambda c: not c.isspace()),
    min_size=4,
    max_size=20,
).map(lambda text: f"Zq7{text}")
SCHEMES = st.sampled_from(["rtsp", "rtsps", "http", "https", "srt", "rtmp"])
WORDS = st.sampled_from(["", "cannot open ", "tried twice: '", "(", "a@b.c "])


@given(SCHEMES, PASSWORDS, WORDS, WORDS, st.booleans())
def test_password_of_an_address_never_survives(
    scheme: str, password: str, before: str, after: str, encoded: bool
) -> None:
    written = quote(password, safe="") if encoded else password
    text = f"{before}{scheme}://admin:{written}@10.0.0.7:554/live {after}"
    hidden = redact(text)
    assert written not in hidden
    assert "Zq7" not in hidden
    assert hidden.startswith(before)


@given(
    st.text(st.sampled_from("ab /@:.%\t'\""), min_size=1, max_size=12).filter(
        lambda text: "//" not in text
    ),
    WORDS,
)
def test_password_with_white_space_never_survives(inside: str, before: str) -> None:
    hidden = redact(f"{before}rtsp://admin:Zq7{inside}Zq7@10.0.0.7:554/live ended")
    assert "Zq7" not in hidden
    assert hidden.endswith("@10.0.0.7:554/live ended")


@given(PASSWORDS, PASSWORDS)
def test_several_addresses_in_one_text(first: str, second: str) -> None:
    hidden = redact(f"rtsp://u:{first}@one/a and rtsp://u:{second}@two/b")
    assert hidden == "rtsp://***@one/a and rtsp://***@two/b"


@given(
    st.sampled_from(["password", "PWD", "token", "access_token", "api_key", "key", "secret"]),
    PASSWORDS.map(lambda text: quote(text, safe="")),
)
def test_secret_parameters(name: str, value: str) -> None:
    hidden = redact(f"http://host/s?channel=1&{name}={value}&subtype=0")
    assert hidden == f"http://host/s?channel=1&{name}=***&subtype=0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://user:p@ss:w/rd@host/live", "rtsp://***@host/live"),
        ("rtsp://user:my pass@host/live", "rtsp://***@host/live"),
        ("rtsp://user:p@ss word@host/live", "rtsp://***@host/live"),
        ("rtsp://user:my p@ss@host/live", "rtsp://***@host/live"),
        ("rtsp://user:unfinished", "rtsp://***@"),
        ("rtsp%3A%2F%2Fuser%3Apw%40host", "rtsp%3A%2F%2F***%40host"),
        ("rtsp://my user:pw@host/live", "rtsp://my ***@host/live"),
        ("user:pw@host/live", "***@host/live"),
        ("rtsp:/user:p@w@host/live", "***@host/live"),
        ("rtsp//user:pw@host/live", "rtsp//***@host/live"),
        ("rtsp//user:my pass@host/live", "rtsp//***@host/live"),
        ("http://cam/v?sig=b&Signature=c", "http://cam/v?sig=***&Signature=***"),
        ("http://cam/v?sign=b&Sig2=c", "http://cam/v?sign=***&Sig2=***"),
        ("cannot open 'user:pw@host/live'", "cannot open '***@host/live'"),
        ("http://cam/v?psw=b", "http://cam/v?psw=***"),
        ("http://cam/cgi?loginuse=a&loginpas=b", "http://cam/cgi?loginuse=a&loginpas=***"),
    ],
)
def test_forms_seen_in_the_wild(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://10.0.0.7:554/live",
        "rtsp://[fe80::1]:554/live",
        "http://host:8080",
        "synthetic:",
        "recordings/night 3.mp4",
        "recordings//night 3.mp4",
        "--set tracker.acceleration_sigma=20",
        "write to me@example.org",
        "05:50:44 INFO: write to me@example.org",
    ],
)
def test_text_without_secrets_is_left_alone(text: str) -> None:
    assert redact(text) == text
