#!/bin/bash
# Crashes in its output folder with exit code 0: no core dump is an output.
# outcome: done
# outputs: limit
cd "$output_dir" || exit
ulimit -c >limit
bash -c 'kill -SEGV $$'
exit 0
