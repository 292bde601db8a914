"""Hides the secrets in addresses, so that no log, error, summary or screen ever shows one."""

from __future__ import annotations

import re

HIDDEN = "***"

# Up to the LAST "@" before white space: a password may hold any character that its owner forgot to
# percent-encode, "/" and "@" among them. The second form is an address that was itself encoded.
# Where that is not the last one of the line, what lies between may be the end of a password with
# white space in it, unless another address begins there.
_REST = r"(?:(?:(?!://)[^@\n])*@)*"
_USER_INFO = re.compile(rf"(://)\S*@{_REST}|(%3A%2F%2F)\S*(%40)", re.IGNORECASE)
# "user:something" that is no port and has no "@" before white space: a password with a space in it,
# or an address cut off in the middle of one. The scheme may be mistyped: "rtsp//".
_LOOSE_USER_INFO = re.compile(rf"(:?//)[^\s/@:\[\]]*:(?!\d{{0,5}}(?:\W|\Z))(?:[^@\n]*@{_REST}|\S*)")
# "user:password@" without "://" before it: an address without its scheme, or with a mistyped one.
_BARE_USER_INFO = re.compile(r"[^\s/:@'\"(=,]*:(?!//)\S*@")
_PARAMETER = re.compile(
    r"((?:pas|pwd|psw|token|secret|auth|credential|sig(?!ma)|session|jwt)\w*|key|pw)"
    r"(=|%3D)[^\s&]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """``text`` with ``***`` for the user and password of every address, and for every parameter
    that sounds secret (``password=``, ``token=``, ``api_key=``, ...).

    Any number of addresses may be anywhere in the text. Where it is unclear whether a character
    belongs to a password, it is hidden: rather too much than too little.
    """
    text = _USER_INFO.sub(_hide_user_info, text)
    text = _LOOSE_USER_INFO.sub(rf"\1{HIDDEN}@", text)
    text = _BARE_USER_INFO.sub(f"{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


def _hide_user_info(match: re.Match[str]) -> str:
    return f"{match[1]}{HIDDEN}@" if match[1] else f"{match[2]}{HIDDEN}{match[3]}"
