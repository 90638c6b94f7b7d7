"""Recall channels, and the merge of what they find."""

from headrace.retrieval.author import AuthorLatest
from headrace.retrieval.channel import Channel
from headrace.retrieval.history import UserHistory
from headrace.retrieval.itemcf import ItemCF
from headrace.retrieval.merge import merge
from headrace.retrieval.popular import Popular, PopularInCategory

__all__ = ["AuthorLatest", "Channel", "ItemCF", "Popular", "PopularInCategory", "UserHistory", "merge"]
