"""The four methods that edit by text: CLIPInverter, and StyleCLIP's three.

Patashnik et al., "StyleCLIP: Text-Driven Manipulation of StyleGAN Imagery" (ICCV 2021): latent optimisation
(`latent_optimization.py`), the latent mapper (`latent_mapper.py`) and global directions (`global_direction.py`).
`settings.py` says where they differ from the authors' settings; docs/usage.md lists all differences.
"""
