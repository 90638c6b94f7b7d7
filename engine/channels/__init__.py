"""Recall channels, and the merge of what they find."""

from headrace.channels.author_latest import AuthorLatest
from headrace.channels.channel import Channel
from headrace.channels.itemcf import ItemCF
from headrace.channels.merge import merge
from headrace.channels.popular import Popular, PopularInCategory
from headrace.channels.shared.history import UserHistory

__all__ = ["AuthorLatest", "Channel", "ItemCF", "Popular", "PopularInCategory", "UserHistory", "merge"]
