pytest_plugins = ["embalign.plugin"]
# They time the suite beside others, for minutes: `pytest benchmark/` leaves them out, `pytest benchmark/test_speed.py`
# runs one.
collect_ignore = [f"benchmark/test_{name}.py" for name in ("peers", "scale", "speed")]
