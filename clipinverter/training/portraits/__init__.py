"""The recipe of the embedded domain, a module for each stage."""
