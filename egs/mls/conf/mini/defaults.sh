# What the mini preset assumes where the command line is silent.
ngpu=${ngpu:-0}
