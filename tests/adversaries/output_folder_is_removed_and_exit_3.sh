#!/bin/bash
# Removes its output folder and fails: the reason is its exit code, and the log is kept.
# outcome: failed
# reason: exit code 3
# log: it said this
echo it said this
rmdir "$output_dir"
exit 3
