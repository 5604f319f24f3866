#!/bin/bash
# Removes its output folder: the reason says so, and the log is kept.
# outcome: failed
# reason: the outputs cannot be listed: No such file or directory
# log: exit code 0
rmdir "$output_dir"
