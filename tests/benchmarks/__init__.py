"""Benchmarks, not part of the test run: `python -m tests.benchmarks` from the root of the checkout."""
