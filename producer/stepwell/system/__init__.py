"""System metrics: usage of the machine and of the run's processes, as rows of a side stream.

| key | unit |
|---|---|
| `system/cpu` | % of the host's cores in use |
| `system/memory` | % of the host's memory in use |
| `system/memory.available` | bytes available to processes |
| `system/disk` | % used of the file system that holds the journals |
| `system/disk.read`, `system/disk.written` | bytes per second, all disks of the host |
| `system/network.sent`, `system/network.received` | bytes per second, all interfaces of the host |
| `system/process.cpu` | % of one core used by this process and its children: 200 is two cores |
| `system/process.memory` | resident bytes of this process and its children; shared pages count for each |
| `system/process.threads` | threads of this process and its children |
| `system/gpu.N.utilization` | % of time that NVIDIA GPU number N was busy |
| `system/gpu.N.memory` | % of its memory in use |
| `system/gpu.N.memory.used` | bytes of its memory in use |
| `system/gpu.N.temperature` | degrees Celsius |
| `system/gpu.N.power` | watts |

Rates are averages since the previous sample. Under a launcher of several processes, one process of a node samples the
machine, one each GPU, and each itself; the text `system/host` of each names its node. A named writer has separate keys,
`system/<writer>/cpu`.
"""
