"""``ziggurat storacha``: one module for each kind of command; each adds its own to the group."""

from ziggurat_storacha.commands import _delegations, _export, _login, _plan, _proofs, _spaces, _uploads
from ziggurat_storacha.commands._group import storacha

__all__ = ["storacha"]

_MODULES = (_delegations, _export, _login, _plan, _proofs, _spaces, _uploads)
