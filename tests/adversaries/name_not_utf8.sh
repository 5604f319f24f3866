#!/bin/bash
# Writes a name that is not UTF-8.
# outcome: failed
# reason: a name that S3 does not accept
echo x >"$output_dir/a"
echo x >"$output_dir/$(printf '\377')"
