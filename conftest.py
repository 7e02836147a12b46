pytest_plugins = ["embalign.plugin"]
