"""The words for feedback: what a log may record, what it teaches, and what each is called in features and targets."""

from __future__ import annotations

IMPRESSION = "impression"
CLICK = "click"
#: What follows a click; rates of these are per click.
POST_CLICK = ("like", "collect", "share", "follow", "comment")
COMPLETION = "completion"
PLAY_TIME = "play_time"

#: Yes/no feedback, in the order of the field; a log carries the ones it has.
SIGNALS = (IMPRESSION, CLICK, *POST_CLICK, COMPLETION)
#: One point of interest each.
INTEREST = (CLICK, *POST_CLICK)
#: What statistics count, in the order of the features.
COUNTED = (CLICK, COMPLETION, *POST_CLICK)
#: What a model can be taught to predict.
TARGETS = (*SIGNALS, PLAY_TIME)
