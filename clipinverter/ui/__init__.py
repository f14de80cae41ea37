"""The page. `demo.create_demo` builds it; `app.py` starts it."""
