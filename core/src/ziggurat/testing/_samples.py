"""One name for what is put and expected, whatever the form: bytes under a key, or a DAG under its root."""

from __future__ import annotations

from attrs import frozen

from ziggurat.backend import Stat
from ziggurat.content import DAG_PB, RAW, Blob, Cid, Dag
from ziggurat.testing import _rules as rules
from ziggurat.testing._content import DagSample, blob, bytes_of, car_bytes, dag_samples, file, noise, raw
from ziggurat.testing._kit import Kit, Tier

__all__ = ["Sample", "brief", "expect_blocks", "kinds", "samples"]

_SIZES = (0, 1, 999, 4096, 70_001, 1_100_000)


@frozen
class Sample:
    """Something to put, and to compare with what comes back.

    Attributes:
        kit: The check it belongs to.
        name: For messages.
        key: Under which it is put.
        data: The bytes under that key, in the bytes form.
        dag: The DAG, in the dag form, or None.
        piecewise: Give the bytes as a `Blob`.
    """

    kit: Kit
    name: str
    key: str
    data: bytes = b""
    dag: DagSample | None = None
    piecewise: bool = False

    def content(self) -> bytes | Blob | Dag:
        """A fresh content for `put`."""
        if self.dag is not None:
            return self.dag.dag()
        return blob(self.data) if self.piecewise else self.data

    def place(self, tier: Tier) -> None:
        """Put it, and look at what the put says; on a read-only backend, seed it."""
        if tier.hooks.read_only:
            self.kit.place(tier, self.key, self.dag if self.dag is not None else self.data)
            return
        rule = rules.PUT_BOTH if self.dag is None else rules.PUT_AFRESH
        self._sizes("put", tier.put(self.key, self.content(), rule=rule))

    def expect(self, tier: Tier) -> None:
        """Every hook must say that it is there, whole."""
        rules.HAS.check(tier.has(self.key), f"{self.name}: has() is False for a copy")
        stat = tier.stat(self.key)
        if stat is None:
            rules.STAT_NONE.broken(f"{self.name}: stat() is None for a copy")
        self._sizes("stat", stat)
        answer = tier.get(self.key)
        if answer is None:
            rules.GET_NONE.broken(f"{self.name}: get() is None for a copy")
        self.compare(answer, tier)

    def compare(self, answer: bytes | Blob | Dag | None, tier: Tier | None = None) -> set[Cid]:
        """Compare what `get` returned.

        Args:
            answer: What it returned.
            tier: Where to ask for the blocks that a `Dag` leaves out, None not to ask.

        Returns:
            The blocks that a `Dag` gave; nothing for bytes.
        """
        if isinstance(answer, Dag) and self.dag is not None:
            return expect_blocks(self.kit, answer, self.dag, tier)
        if answer is None:
            rules.GET_NONE.broken(f"{self.name}: get() is None for a copy")
        if isinstance(answer, Dag):
            rules.GET_BYTES.broken(f"{self.name}: get() gave a Dag for a key that names bytes")
        got = bytes_of(answer)
        wanted = self.data if self.dag is None else self.dag.blocks[self.dag.root]
        rules.GET_BYTES.check(got == wanted, f"{self.name}: get() gave {brief(got)}, not {brief(wanted)}")
        return set()

    def _sizes(self, op: str, stat: Stat) -> None:
        wanted = self.dag.size if self.dag is not None else len(self.data)
        said = f"{self.name}: {op}() says size {stat.size}, it has {wanted}"
        rules.STAT_SIZE.check(stat.size is None or stat.size == wanted, said)
        plausible = stat.stored is None or (isinstance(stat.stored, int) and stat.stored >= 0)
        rules.STAT_SIZE.check(plausible, f"{self.name}: {op}() says stored {stat.stored!r}")


def samples(kit: Kit) -> dict[str, Sample]:
    """Everything that a tier of this form, role and limit may be given, by name."""
    found: list[Sample] = []
    if kit.dag:
        shapes = {**dag_samples(), "a raw block": raw(noise(500, 20))}
        found = [Sample(kit, name, kit.key(dag.root.key), dag=dag) for name, dag in shapes.items()]
    else:
        for number, size in enumerate(_SIZES):
            for piecewise in (False, True):
                data = noise(size, 2 * number + piecewise) if size else b""
                key = kit.key((Cid.of(data, RAW) if piecewise else Cid.of(data + b"\n", DAG_PB)).key)
                if kit.role == "cache" and not piecewise:
                    key = kit.key(Cid.of(data + b"\n", DAG_PB).block_key)
                name = f"{size} bytes as {'a Blob' if piecewise else 'bytes'}"
                found.append(Sample(kit, name, key, data, piecewise=piecewise))
        if kit.role != "cache":
            whole = file(noise(5000, 21))
            nodes = car_bytes(whole.root, [p for p in whole.blocks.items() if p[0].codec == DAG_PB])
            found.append(Sample(kit, "the nodes of a file", kit.key(whole.root.nodes_key), nodes))
    return {sample.name: sample for sample in found if kit.dag or kit.fits(sample.data)}


def kinds(kit: Kit, seed: bytes) -> dict[str, str]:
    """A key of each kind that a tier of this form and role may be asked for, all of one digest."""
    cid, other = Cid.of(seed, DAG_PB), Cid.of(seed, RAW)
    keys = {"plain": cid.key, "raw": other.key}
    if not kit.dag and kit.role != "cache":
        keys["nodes"] = cid.nodes_key
    if kit.role == "cache":
        keys = {"block": cid.block_key, "raw": other.key}
    return {kind: kit.key(key) for kind, key in keys.items()}


def expect_blocks(kit: Kit, answer: Dag | None, dag: DagSample, tier: Tier | None) -> set[Cid]:
    """Have every block of a DAG, out of an answer's pairs or alone; the first good pair is the root.

    Without a tier to ask, what the pairs leave out is not looked for.
    """
    have: dict[Cid, bytes] = {}
    if answer is not None:
        try:
            for cid, block in answer.pairs():
                if isinstance(cid, Cid) and cid.matches(block):
                    have[cid] = bytes(block)
        finally:
            answer.close()
        first = next(iter(have), None)
        rules.WHOLE_DAG.check(first == dag.root, f"the first pair of {dag.root} is {first}")
    for cid, block in dag.blocks.items():
        if tier is None or cid in have:
            continue
        got = tier.read(kit.key(cid.block_key))
        rules.BLOCK.check(got == block, f"block {cid} of {dag.root}: got {brief(got)}")
    return set(have)


def brief(answer: object) -> str:
    """An answer in a few words."""
    if isinstance(answer, bytes) and len(answer) > 40:
        return f"{len(answer)} bytes starting {answer[:16]!r}"
    return repr(answer)
