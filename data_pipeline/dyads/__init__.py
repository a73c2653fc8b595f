"""Made conversations: a raw tree of REACT2023's form in which it is known who answers what, how and when.

    reactface dyads --out ROOT --clips 16 --seconds 5

See docs/made_conversations.md.
"""

from data_pipeline.dyads.arrays import Played, play
from data_pipeline.dyads.conversations import Recipe
from data_pipeline.dyads.writer import make

__all__ = ["Played", "Recipe", "make", "play"]
