#!/bin/bash
# Links a folder whose path only begins like the output folder.
# outcome: failed
# reason: is a link that leads out of the output folder
mkdir "$output_dir-secret"
echo x >"$output_dir-secret/x"
ln -s "$output_dir-secret" "$output_dir/secret"
