#!/bin/bash
# Leaves a process that keeps an output open and does nothing: it is ended, and the job is done.
# outcome: done
# outputs: x
# log: kept 'x' open
exec 3>"$output_dir/x"
echo x >&3
setsid sleep 1000 >/dev/null 2>&1 &
