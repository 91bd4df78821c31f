"""Reading what a space holds: from storage nodes by claims and indexes, or from a gateway."""
