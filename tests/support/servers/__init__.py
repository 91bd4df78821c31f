"""Real servers for the tests: built once into the user's cache, started on loopback, stopped with them."""
