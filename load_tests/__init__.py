"""Load tests and measurements; run with ``python -m load_tests.NAME`` from the repository."""
