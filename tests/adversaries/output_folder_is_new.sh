#!/bin/bash
# Removes its output folder and creates it again, as many programs do.
# outcome: done
# outputs: x
rm -r "$output_dir"
mkdir "$output_dir"
echo x >"$output_dir/x"
