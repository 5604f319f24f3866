#!/bin/bash
# Links the environment of its own process, which is the worker's once the process has ended.
# outcome: failed
# reason: is a link that leads out of the output folder
ln -s /proc/self/environ "$output_dir/environ"
