"""StyleCLIP's three ways to edit by text, side by side with CLIPInverter.

Patashnik et al., "StyleCLIP: Text-Driven Manipulation of StyleGAN Imagery" (ICCV 2021): latent optimisation
(`optimization.py`), the latent mapper (`mapper.py`) and global directions (`directions.py`), as the authors run them.
"""
