"""Measurements on the real stack, each a command that fails when its check fails.

Who measures does not sit inside what is measured: everything here is a process of its own and
looks on through the doors that operators have. bench.recompute imports nothing of the product.
"""
