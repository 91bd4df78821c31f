"""The faces of `Store`: what users may ask of it, by role."""
