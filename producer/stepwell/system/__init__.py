"""System metrics: what the machine and the processes of a run do, as rows of a stream beside its own.

| key | unit |
|---|---|
| `system/cpu` | % of all cores of the host that is busy |
| `system/memory` | % of the host's memory in use |
| `system/memory.available` | bytes that processes can still have |
| `system/disk` | % used of the file system that holds the journals |
| `system/disk.read`, `system/disk.written` | bytes a second, all disks of the host |
| `system/network.sent`, `system/network.received` | bytes a second, all interfaces of the host |
| `system/process.cpu` | % of one core that this process and its children are busy: 200 is two cores |
| `system/process.memory` | resident bytes of this process and its children; what they share counts for each |
| `system/process.threads` | threads of this process and its children |
| `system/gpu.N.utilization` | % of the time in which NVIDIA GPU number N was busy |
| `system/gpu.N.memory` | % of its memory in use |
| `system/gpu.N.memory.used` | bytes of its memory in use |
| `system/gpu.N.temperature` | degrees Celsius |
| `system/gpu.N.power` | watts |

Rates are over the time since the sample before. A writer with a name has keys of its own, `system/<writer>/cpu`.
"""
