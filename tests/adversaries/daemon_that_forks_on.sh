#!/bin/bash
# Leaves a daemon that changes its process, session and parent for ever, without an environment.
# outcome: done
# outputs: x
echo x >"$output_dir/x"
hop='sleep 0.05; exec env -i setsid --fork bash -c "$1" ds-adversary "$1"'
(env -i setsid --fork bash -c "$hop" ds-adversary "$hop" >/dev/null 2>&1 &)
