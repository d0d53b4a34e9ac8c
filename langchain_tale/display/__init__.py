"""In the notebook: stories that are told live, many of them under one bar, the catalogue.

| name | what it does |
| --- | --- |
| `tell` | tells a story into the cell, with a button that stops it |
| `tell_many` | tells many under one progress bar; what is told is kept and paid for once |
| `catalogue` | shows the models that are known by name |

Results and errors show themselves wherever they are (`langchain_tale.cards`); this package is
for what needs a running notebook. It needs the extra `[notebook]`, though `tell` gets by without:
then it prints plain text. Every function works inside a running event loop, as a notebook's cells
are, since the work is done in a thread that has its own.
"""

from langchain_tale.display.models import catalogue
from langchain_tale.display.stories import Stories, tell_many
from langchain_tale.display.telling import StoryStoppedError, Telling, tell

__all__ = ["Stories", "StoryStoppedError", "Telling", "catalogue", "tell", "tell_many"]
