#!/bin/bash
# Writes names that S3 can hold: all of them are uploaded.
# outcome: done
# outputs: %20 +&=? -rf .hidden ... a\b x:y ü 🧬
cd "$output_dir" || exit
for name in %20 '+&=?' -rf .hidden ... 'a\b' x:y ü 🧬; do echo x >"./$name"; done
