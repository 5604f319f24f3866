#!/bin/bash
# Writes a name with a line break.
# outcome: failed
# reason: a name that S3 does not accept
echo x >"$output_dir/a"
echo x >"$output_dir/"$'x\ny'
