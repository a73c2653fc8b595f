"""Names from files and command lines as plain text in Markdown and LaTeX, whatever signs are in them."""

import re

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def markdown(text: object) -> str:
    """One line of Markdown that shows the text as it is."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def latex(text: object) -> str:
    """One line of LaTeX that shows the text as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in _one_line(text))


def _one_line(text: object) -> str:
    """Line breaks and other signs that can't be seen become spaces."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", str(text)).strip()
