"""A page to judge a shard set by: pieces with their sound, and figures of its people."""
