"""References and directories: ``CID/a/b`` to a blob, and what a directory holds."""

from __future__ import annotations

from collections.abc import Iterator

from ziggurat.content import DAG_PB, RAW, Cid, Link, Node, directory_entries, hamt_path
from ziggurat.content.directory import MAX_PATH_DEPTH
from ziggurat.engine.reader import Reader
from ziggurat.engine.records import BlobType, Entry
from ziggurat.engine.session import Value
from ziggurat.errors import BlobNotFound, InvalidCid, MalformedContent, NotAFile, StoreError

__all__ = ["Paths", "Ref", "type_of"]

Ref = Cid | str


def type_of(value: Value, cid: Cid) -> BlobType:
    """What a blob is, from its root's node or plain bytes."""
    if isinstance(value, Node):
        if value.is_file:
            return "file"
        if value.is_directory:
            return "directory"
        return "symlink" if value.type == "symlink" else "block"
    return "file" if cid.codec in (DAG_PB, RAW) else "block"


def _is_text(name: str) -> bool:
    """True if a directory can have this name: the bytes of an undecodable argument are in none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Paths:
    """Resolves references and lists directories.

    Args:
        reader: Reads the nodes of directories.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def resolve(self, ref: Ref) -> Cid:
        """The blob that a reference names: a CID, or a path beneath one.

        Raises:
            InvalidCid: The first part is no CID.
            BlobNotFound: A directory has no such entry.
            NotAFile: The path goes on beneath something that is no directory.
        """
        if isinstance(ref, Cid):
            return ref
        if not isinstance(ref, str):
            raise InvalidCid(f"a reference is a Cid or text, not {type(ref).__name__}")
        if ref.startswith(("/ipns/", "ipns://")):
            raise InvalidCid(
                f"{ref[:80]!a} is a name, which can change: resolve it, and give what it points to"
            )
        text = ref.removeprefix("ipfs://").removeprefix("/ipfs/")
        first, *rest = text.split("/")
        cid = Cid.parse(first)
        for name in rest:
            if name:
                cid = self._child(cid, name)
        return cid

    def _child(self, directory: Cid, name: str) -> Cid:
        node = self.directory(directory)
        found: Link | None
        if not _is_text(name):
            found = None
        elif node.type == "hamt":
            found = self._in_shards(directory, node, name)
        else:
            found = next((link for entry, link in directory_entries(node) if entry == name), None)
        if found is None:
            raise BlobNotFound(f"{directory} has no entry {name!r}; see ls {directory}", cid=directory)
        return found.cid

    def directory(self, cid: Cid) -> Node:
        """The root node of a directory.

        Raises:
            NotAFile: It is something else.
        """
        value = self._reader.block(cid)
        if not isinstance(value, Node) or not value.is_directory:
            raise NotAFile(f"{cid} is a {type_of(value, cid)}, not a directory", cid=cid)
        return value

    def _in_shards(self, root: Cid, node: Node, name: str) -> Link | None:
        for prefix in hamt_path(name, node.fanout):
            wanted = prefix.encode() + name.encode()
            below = None
            for link in node.links:
                if link.name == wanted:
                    return link
                if link.name == prefix.encode():
                    below = link
            if below is None:
                return None
            node = self._shard(below.cid, root)
        return None

    def _shard(self, cid: Cid, root: Cid) -> Node:
        value = self._reader.block(cid, root)
        if not isinstance(value, Node) or value.type != "hamt":
            raise MalformedContent(f"{cid} is no shard of the directory {root}", cid=root)
        return value

    def links(self, root: Cid) -> Iterator[tuple[str, Link]]:
        """Name and link of each entry of a directory, shards followed.

        Raises:
            NotAFile: It is no directory.
            MalformedContent: Two entries have one name, or one shard stands twice.
        """
        seen: set[str] = set()
        shards: set[Cid] = set()
        pending = [iter(directory_entries(self.directory(root)))]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            name, link = entry
            if name is None:
                if link.cid in shards:
                    raise MalformedContent(f"the shard {link.cid} stands twice in {root}", cid=root)
                shards.add(link.cid)
                pending.append(iter(directory_entries(self._shard(link.cid, root))))
                continue
            if name in seen:
                raise MalformedContent(f"{root} has two entries named {name!r}", cid=root)
            seen.add(name)
            yield name, link

    def entries(self, root: Cid) -> Iterator[Entry]:
        """The direct children of a directory; anything else gives itself."""
        value = self._reader.block(root)
        if not isinstance(value, Node) or not value.is_directory:
            yield _entry(str(root), root, value)
            return
        for name, link in self.links(root):
            yield self._describe(name, link)

    def _describe(self, path: str, link: Link) -> Entry:
        if link.cid.codec == RAW:
            return Entry(path, link.cid, "file", link.tsize)
        try:
            return _entry(path, link.cid, self._reader.block(link.cid))
        except (BlobNotFound, StoreError):
            # The directory is here and the child cannot be read now: its name is still worth telling.
            return Entry(path, link.cid, "block", None)

    def size(self, root: Cid) -> int:
        """Plain bytes of a blob; of a directory the sum beneath, each blob read once however often it stands.

        Raises:
            MalformedContent: Directories nested too deep.
        """
        return self._size(root, {}, 0)

    def _size(self, cid: Cid, known: dict[Cid, int], depth: int) -> int:
        if depth > MAX_PATH_DEPTH:
            raise MalformedContent(f"{cid} is nested deeper than {MAX_PATH_DEPTH} directories", cid=cid)
        value = self._reader.block(cid)
        if not isinstance(value, Node):
            return len(value)
        if not value.is_directory:
            return value.size
        total = 0
        for _, link in self.links(cid):
            size = known.get(link.cid)
            if size is None:
                size = known[link.cid] = self._size(link.cid, known, depth + 1)
            total += size
        return total


def _entry(path: str, cid: Cid, value: Value) -> Entry:
    kind = type_of(value, cid)
    if not isinstance(value, Node):
        return Entry(path, cid, kind, len(value))
    return Entry(
        path,
        cid,
        kind,
        value.size if kind == "file" else None,
        target=value.target if kind == "symlink" else None,
        mode=value.mode,
        mtime=value.mtime,
    )
