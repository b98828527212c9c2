"""Methods that cut a factor of a chunk's cost: layers, visual tokens, MLP width, head steps.

A method is one small file that answers one question; methods never import each other. A recipe
combines them. See docs/ARCHITECTURE.md, "Efficiency".
"""
