"""The parts of tests/benches/run.py."""
