"""Photos: decoding, faces, alignment, detail, pasting back."""
