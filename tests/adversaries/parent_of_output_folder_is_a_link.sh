#!/bin/bash
# Replaces the folder above its output folder by a link.
# outcome: failed
# reason: the output folder was replaced by a link
mkdir "$TMPDIR/output"
echo x >"$TMPDIR/output/x"
parent=$(dirname "$output_dir")
mv "$parent" "$parent-moved"
ln -s "$parent-moved/tmp" "$parent"
