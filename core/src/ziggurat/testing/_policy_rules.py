"""The sentences of `ziggurat.policy.protocols` that the policy kit checks, quoted word for word."""

from __future__ import annotations

from ziggurat.testing._rules import Rule

NAME = Rule("PolicyType", "each loads to a `PolicyType` whose `name` is the entry point's.")
PARAMETERS = Rule("PolicyType", "A frozen attrs class: its fields are the keys of the policy's table")
PURE = Rule(
    "policy",
    "no I/O, no clock of its own, no randomness but what it is given.",
)
EXACT = Rule("Index", "the numbers are exact at each return.")
CAPACITY = Rule("Index.bytes", "Bytes resident, never more than `capacity`.")
VICTIMS = Rule("Index.admit", "The keys that are no longer resident, whose bytes go before the new ones come")
PASS_BY = Rule("Index.admit", "if the block is larger than the cache or the policy lets it pass by.")
SAME = Rule("Index.admit", "A block that is resident with the same size counts as hit.")
RESIZED = Rule("Index.admit", "One that is resident with another size is its own first victim.")
DROP = Rule("Index.drop", "True if it was resident.")
HIT = Rule("Index.hit", "A key that is not resident is ignored.")
CONSTANT = Rule(
    "Index", "Every access costs the same, however many blocks are resident, if not each then on average."
)
GHOSTS = Rule(
    "Index.ghosts", "Blocks remembered that are not resident; at most sixteen for each resident, and 256."
)
RANKED = Rule("Ranker.rank", "The same rows, or fewer to spare the rest.")
SPARING = Rule("Ranker.rank", "It may not spare all for ever: of a few samples one gives a victim.")
ORDER = Rule("Ranker.forecast", "`rank` orders by rising `Forecast.value`.")
UNCHANGED = Rule("Ranker.rank", "A sample; not to be changed.")
SEEN = Rule("Observer.seen", "What to keep as the row's new `gap`")
STATE = Rule("Learner.exchange", "What to keep instead, at most `STATE_LIMIT` bytes.")
FOREIGN = Rule("Learner.exchange", "What cannot be read (another version) counts as nothing.")
SINCE = Rule(
    "Learner.exchange", "Join what others learned with what this one learned since its last exchange."
)
