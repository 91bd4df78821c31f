"""The IPFS backends of Ziggurat: a Kubo node over its RPC, and trustless gateways."""
