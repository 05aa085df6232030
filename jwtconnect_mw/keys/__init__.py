"""Sources of keys, discovery, and the store that requests look keys up in."""
