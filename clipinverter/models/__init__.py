"""The networks. Official and embedded models are the same classes with different sizes.

Module and parameter names follow the authors' checkpoints, so that those load strictly.
"""
