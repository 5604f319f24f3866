"""An emulated AWS for honest tests: moto's server, with what it lacks and the refusals of AWS.

| module | contents |
|---|---|
| client | `running()`: starts the emulator and talks to its control address (for tests) |
| server | the process: combines the parts and answers requests |
| call | one request: service, operation, parameters, principal |
| faults | latency, refusals, lost responses, killed clients, per operation |
| refusals | the table of what AWS refuses and moto accepts |
| queue, sqs | queues that are as fast with a million messages as with one |
| fleets | EC2 Fleet: machines from the launch template, kept at the target, history, quota |
| ecs | services, tasks and their protection |
| player | machines that register, and tasks as real processes |
| quick | caches for what moto computes repeatedly |
| access | principals, and whether IAM allows their requests |

`docs/emulator.md` describes how to use it and what it cannot do.
"""
