"""Escaping: whatever a model, a server or a user wrote stays text.

A dollar sign or a backslash gets an element of its own: notebooks look for TeX between them,
and a story may well cost $5 here and $6 there. TeX is not looked for across elements.
"""

from __future__ import annotations

import html
import re
from typing import Final

_TEX: Final = re.compile(r"[$\\]")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+.!|~$:=\"'^-])")
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BLANK_LINES: Final = re.compile(r"\n\s*\n")


def text(value: object) -> str:
    """`value` as text inside an HTML element.

    Example:
        >>> text("<b>5 & 6</b>")
        '&lt;b&gt;5 &amp; 6&lt;/b&gt;'
        >>> text("$5")
        '<span>$</span>5'
    """
    return _TEX.sub(r"<span>\g<0></span>", html.escape(_seen(value)))


def attribute(value: object) -> str:
    """`value` inside the quotation marks of an HTML attribute."""
    return html.escape(_seen(value))


def tag(name: str, *children: str, **attributes: object) -> str:
    """An HTML element.

    Args:
        name: E.g. `"p"`.
        *children: What is inside it, escaped already.
        **attributes: Escaped here; a trailing underscore is dropped, others become hyphens,
            and None leaves the attribute out.

    Example:
        >>> tag("p", text("5 < 6"), class_="small", title='a "b"')
        '<p class="small" title="a &quot;b&quot;">5 &lt; 6</p>'
    """
    given = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(children)}</{name}>"


def markdown(value: object) -> str:
    r"""`value` as text on one line of Markdown.

    Example:
        >>> print(markdown("*5* <b> # 6"))
        \*5\* &lt;b&gt; \# 6
    """
    line = " ".join(_seen(value).split())
    return html.escape(_MARKDOWN.sub(r"\\\1", line), quote=False)


def paragraphs(value: str) -> list[str]:
    r"""The paragraphs of a text, its line breaks inside them kept.

    Example:
        >>> paragraphs("Once\nupon\n\na time")
        ['Once\nupon', 'a time']
    """
    unified = value.replace("\r\n", "\n").replace("\r", "\n")
    return [found.strip() for found in _BLANK_LINES.split(unified) if found.strip()]


def _seen(value: object) -> str:
    """Without what no document may hold."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))
