"""Pure signal functions and the catalogue that names them.

A strategy turns candles into a number between -1 and +1 and a sentence that says what it saw.
Nothing here does I/O, reads a clock or draws a random number, and nothing of ours is imported.
"""
