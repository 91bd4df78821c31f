"""Plugins: the contract and its checks, and finding who offers what."""
