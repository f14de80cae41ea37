"""The recipe of the embedded domain: one module for each stage."""
