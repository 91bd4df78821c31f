from hypothesis import given, settings
from hypothesis import strategies as st

from ziggurat.policy.s3fifo import S3FifoIndex, S3FifoParameters

KEYS = "abcdefghijklmnopqrst"
CAPACITY = 20
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "admit", "drop"]), st.sampled_from(KEYS), st.integers(0, 22)
    ),
    max_size=120,
)


class Naive:
    """Three lists of [key, size, uses], oldest first."""

    def __init__(self, parameters):
        self.small, self.main, self.gone = [], [], []
        self.threshold = parameters.uses
        self.limit, self.memory = int(CAPACITY * parameters.small), int(CAPACITY * parameters.ghosts)

    def find(self, key):
        return next((row for row in self.small + self.main if row[0] == key), None)

    def hit(self, key):
        if row := self.find(key):
            row[2] = min(3, row[2] + 1)

    def drop(self, key):
        row = self.find(key)
        self.small = [other for other in self.small if other is not row]
        self.main = [other for other in self.main if other is not row]
        return row is not None

    def admit(self, key, size):
        if size > CAPACITY:
            return None
        victims, row = [], self.find(key)
        if row and row[1] == size:
            self.hit(key)
            return ()
        if row:
            self.drop(key)
            victims.append(key)
        ghost = any(other[0] == key for other in self.gone)
        self.gone = [other for other in self.gone if other[0] != key]
        while sum(other[1] for other in self.small + self.main) + size > CAPACITY:
            if self.small and (sum(other[1] for other in self.small) > self.limit or not self.main):
                oldest = self.small.pop(0)
                if oldest[2] >= self.threshold:
                    self.main.append([*oldest[:2], 0])
                    continue
                victims.append(oldest[0])
                if oldest[1]:
                    self.gone.append(oldest)
                while sum(other[1] for other in self.gone) > self.memory:
                    self.gone.pop(0)
            else:
                oldest = self.main.pop(0)
                if oldest[2]:
                    self.main.append([*oldest[:2], oldest[2] - 1])
                else:
                    victims.append(oldest[0])
        (self.main if row or ghost else self.small).append([key, size, 0])
        return tuple(victims)


@settings(deadline=None, max_examples=300)
@given(steps, st.integers(1, 3), st.sampled_from([0.1, 0.3, 0.5]))
def test_it_is_the_naive_queues(steps, uses, small):
    parameters = S3FifoParameters(small=small, uses=uses)
    index, naive = S3FifoIndex(CAPACITY, parameters), Naive(parameters)
    for what, key, size in steps:
        if what == "drop":
            assert index.drop(key) is naive.drop(key)
        elif what == "ask" and key in index:
            index.hit(key)
            naive.hit(key)
        else:
            assert index.admit(key, size) == naive.admit(key, size)
            assert index.ghosts == len(naive.gone)
        assert index.bytes == sum(row[1] for row in naive.small + naive.main) <= CAPACITY
        assert [key for key in KEYS if key in index] == [key for key in KEYS if naive.find(key)]
