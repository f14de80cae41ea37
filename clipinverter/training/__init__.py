"""Training: a resumable command for each stage, `python -m clipinverter.training STAGE`."""
