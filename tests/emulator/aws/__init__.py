"""An AWS for honest tests: moto's server, with what it lacks, and refusing what AWS refuses.

| module | what it is |
|---|---|
| client | `running()`: start it, talk to its control address (for tests) |
| server | the process: puts the parts together, answers |
| call | one request: service, operation, parameters, who asks |
| faults | latency, refusals, lost answers, killed clients, by operation |
| refusals | the table of what AWS refuses and moto accepts |
| queue, sqs | queues that are as fast with a million messages as with one |
| fleets | EC2 Fleet: machines as the launch template says, kept at the target, history, quota |
| ecs | services, tasks and their protection, as ECS keeps them |
| player | machines register, tasks are real processes |
| quick | what moto does too often, done once |
| access | who asks, and whether IAM allows it |

`docs/emulator.md` says how to use it and what it cannot do.
"""
