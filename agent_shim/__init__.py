"""The agent endpoint on port 8000, in front of the pool.

It imports nothing of the other packages and speaks HTTP to the hub, so that its image stays small.
"""
