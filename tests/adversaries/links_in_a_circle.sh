#!/bin/bash
# Links folders to themselves and to each other: each file once by its path, no walk without end.
# outcome: done
# outputs: a/a.txt a/to_b/b.txt b/b.txt b/to_a/a.txt
# log: left out 'self'
mkdir "$output_dir/a" "$output_dir/b"
echo a >"$output_dir/a/a.txt"
echo b >"$output_dir/b/b.txt"
ln -s . "$output_dir/self"
ln -s ../b "$output_dir/a/to_b"
ln -s ../a "$output_dir/b/to_a"
