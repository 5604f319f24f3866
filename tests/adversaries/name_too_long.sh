#!/bin/bash
# Writes a name that S3 does not accept after many that it can: nothing is uploaded.
# outcome: failed
# reason: longer than 1,024 bytes
name=$(printf 'x%.0s' $(seq 250))
for i in $(seq 50); do echo x >"$output_dir/$i"; done
mkdir -p "$output_dir/$name/$name/$name/$name"
echo x >"$output_dir/$name/$name/$name/$name/long"
