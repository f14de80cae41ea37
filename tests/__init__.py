"""Tests; a package, so that another one of that name among the installed ones does not hide it."""
