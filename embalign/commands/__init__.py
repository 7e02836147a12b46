"""The commands of `embalign`: thin modules that read arguments, call what does the work and print what it says."""
