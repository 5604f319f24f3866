#!/bin/bash
# Replaces its output folder by a file.
# outcome: failed
# reason: the outputs cannot be listed: Not a directory
rmdir "$output_dir"
echo x >"$output_dir"
