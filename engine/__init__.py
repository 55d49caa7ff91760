"""The pure core of Artic: what one slot does to one table of agents.

Nothing in this room reads a clock, a file, a socket, the environment or a random number: the same
rows and the same inputs give the same outcome, on any worker and at any time.
"""
