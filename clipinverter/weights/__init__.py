"""Files of weights: reading, checking, converting, downloading."""
