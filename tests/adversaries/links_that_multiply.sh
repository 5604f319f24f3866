#!/bin/bash
# Builds 2^40 paths out of 80 links to folders.
# outcome: failed
# reason: through more than 8 links
for i in $(seq 40); do
    mkdir "$output_dir/$i"
    ln -s "../$((i + 1))" "$output_dir/$i/a"
    ln -s "../$((i + 1))" "$output_dir/$i/b"
done
mkdir "$output_dir/41"
echo x >"$output_dir/41/x"
