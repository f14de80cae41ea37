"""CLIPInverter: edit real images by text through StyleGAN inversion guided by CLIP.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing", ACM TOG 2023.
Importing this package loads nothing heavy; import the module you need.
"""

__version__ = "0.1.0"
