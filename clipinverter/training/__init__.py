"""Training: one resumable command for every stage, `python -m clipinverter.training STAGE`."""
