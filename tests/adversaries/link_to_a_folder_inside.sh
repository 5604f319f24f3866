#!/bin/bash
# Links a folder inside the results, by a relative, an absolute and a doubled link: its files are there.
# outcome: done
# outputs: absolute/a.txt real/a.txt relative/a.txt twice/a.txt
mkdir "$output_dir/real"
echo a >"$output_dir/real/a.txt"
ln -s real "$output_dir/relative"
ln -s "$output_dir/real" "$output_dir/absolute"
ln -s relative "$output_dir/twice"
