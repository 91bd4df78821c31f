"""What every test of the repository shares."""

pytest_plugins = ["tests.support.servers.fixtures"]
