#!/bin/bash
# Links a file inside the results: both names have its content.
# outcome: done
# outputs: a.txt latest.txt sub/up.txt
mkdir "$output_dir/sub"
echo a >"$output_dir/a.txt"
ln -s a.txt "$output_dir/latest.txt"
ln -s ../a.txt "$output_dir/sub/up.txt"
