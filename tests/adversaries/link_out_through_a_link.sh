#!/bin/bash
# Leads out of the results in two steps, each of which looks harmless.
# outcome: failed
# reason: is a link that leads out of the output folder
mkdir "$output_dir/a"
ln -s ../../.. "$output_dir/a/up"
ln -s a/up/output/../job.json "$output_dir/json"
