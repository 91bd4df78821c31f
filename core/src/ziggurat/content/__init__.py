"""What a blob is, and how its bytes are proved."""

from __future__ import annotations

from ziggurat.content.blob import Blob, Buffer, Dag
from ziggurat.content.car import Car, car_header, car_header_size, car_section_size, read_car, write_car
from ziggurat.content.cid import DAG_CBOR, DAG_JSON, DAG_PB, MAX_BLOCK, RAW, Cid
from ziggurat.content.dagpb import Link, decode_node, encode_node
from ziggurat.content.datamodel import Value
from ziggurat.content.directory import DirectoryDag, DirEntry, build_directory, build_symlink
from ziggurat.content.edges import links, links_readable
from ziggurat.content.hamt import directory_entries, hamt_entries, hamt_path
from ziggurat.content.importer import FileDag, Leaf, file_reader, import_file, import_stream
from ziggurat.content.key import Key, Kind, as_key
from ziggurat.content.leaves import leaf_block, leaf_payload, proves_leaf
from ziggurat.content.profile import PROFILES, Profile, parse_chunker, profile_by_name
from ziggurat.content.unixfs import Node, parse_node

__all__ = [
    "DAG_CBOR",
    "DAG_JSON",
    "DAG_PB",
    "MAX_BLOCK",
    "PROFILES",
    "RAW",
    "Blob",
    "Buffer",
    "Car",
    "Cid",
    "Dag",
    "DirEntry",
    "DirectoryDag",
    "FileDag",
    "Key",
    "Kind",
    "Leaf",
    "Link",
    "Node",
    "Profile",
    "Value",
    "as_key",
    "build_directory",
    "build_symlink",
    "car_header",
    "car_header_size",
    "car_section_size",
    "decode_node",
    "directory_entries",
    "encode_node",
    "file_reader",
    "hamt_entries",
    "hamt_path",
    "import_file",
    "import_stream",
    "leaf_block",
    "leaf_payload",
    "links",
    "links_readable",
    "parse_chunker",
    "parse_node",
    "profile_by_name",
    "proves_leaf",
    "read_car",
    "write_car",
]
