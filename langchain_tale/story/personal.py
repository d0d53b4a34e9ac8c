"""Does a request carry personal data? By what is plain to see; pure.

A name in `child_name` always is. Elsewhere e-mail addresses, telephone numbers, postal addresses
and handles are recognised by their form. A name in a theme ("a story about Mia Miller") is not:
no pattern can tell it from a hero's. Who writes such themes asks for privacy by name:
`ChatOpenRouter(provider={"data_collection": "deny"})`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_tale.story.request import StoryRequest

_FORMS: Final = (
    re.compile(r"[\w.+-]+\s?@\s?[\w-]+(?:\.[\w-]+)+"),  # e-mail
    re.compile(r"(?<!\w)@\w{3,}"),  # a handle
    re.compile(
        r"(?:\+|(?<![\w.,+-]))(?!\d+[.,]\d+(?!\S*\d))(?:\d[\s().-]{0,2}){8,14}\d(?!\w)"
    ),  # telephone, 9 to 15
    re.compile(r"(?<![\w.,])\d{3}[\s.-]\d{4}(?![\w.,])"),  # one of 7
    re.compile(
        r"(?<!\w)\d{1,5}[a-z]?,?\s+(?:\w+\s+){1,3}"
        r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|boulevard|blvd|court|square)(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?<!\w)(?:ул(?:\.|иц\w+)|пр(?:\.|осп\w*)|пер(?:\.|еул\w+)|наб(?:\.|ережн\w+)|шоссе|бульвар)"
        r"\s*[^\d\n]{2,40}?,?\s*(?:д(?:\.|ом)\s*)?\d{1,4}(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<!\w)\w+(?:straße|strasse|str\.)\s+\d{1,4}(?!\w)", re.IGNORECASE),
)
_TEXTS: Final = ("theme", "hero", "moral", "setting", "tone", "interests", "avoid")


def is_personal(request: StoryRequest) -> bool:
    """Whether a request names its child, or plainly carries other personal data."""
    if request.child_name:
        return True
    values = (getattr(request, name) for name in _TEXTS)
    texts = (text for value in values for text in (value if isinstance(value, tuple) else (value,)))
    return any(has_personal_data(text) for text in texts if text)


def has_personal_data(text: str) -> bool:
    """Whether a text holds an e-mail address, a telephone number, an address or a handle.

    Example:
        >>> has_personal_data("a fox, call +44 20 7946 0958"), has_personal_data("1001 nights")
        (True, False)
    """
    return any(form.search(text) for form in _FORMS)
