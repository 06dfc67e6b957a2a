// What a CPU looks like from the operating system that runs on it.
import { z } from 'zod';

/** One kind of cache: those of one level and type that differ in size or ways (hybrid CPUs) are entries of their own. */
const Cache = z.object({
  level: z.int().min(1),
  type: z.enum(['Data', 'Instruction', 'Unified']),
  sizeBytes: z.int().nullable(),
  /** Null also when fully associative. */
  ways: z.int().nullable(),
  /** How many such caches the machine has. */
  instances: z.int().nullable(),
  /** CPUs that share the first of them, as the kernel lists them: `0-3,8`. */
  sharedCpuList: z.string().nullable(),
});

const Topology = z.object({
  sockets: z.int().nullable(),
  dies: z.int().nullable(),
  /** Cores in the whole machine. */
  cores: z.int().nullable(),
  /** Threads per core; of the cores that have most, where they are unlike. */
  threads: z.int().nullable(),
  /** Online CPUs. */
  cpus: z.int().nullable(),
});

/** CPU facts of one level. What could not be read is null, never a guess. */
export const Facts = z.object({
  vendor: z.string().nullable(),
  modelName: z.string().nullable(),
  family: z.int().nullable(),
  model: z.int().nullable(),
  stepping: z.int().nullable(),
  /** As the kernel prints it, e.g. `0x1000065`. */
  microcode: z.string().nullable(),
  /** Who runs this machine by its CPUID signature: `KVM`, `TCG`, `VMware`, `Hyper-V`, `Xen`…; null on bare metal or when unknown. */
  hypervisor: z.string().nullable(),
  /** Those that all CPUs have, sorted, as the kernel names them; null when there is no such line. */
  flags: z.array(z.string()).nullable(),
  virtualization: z.enum(['vmx', 'svm']).nullable(),
  /** Whether /dev/kvm could be opened for reading and writing; null when nobody tried. */
  kvmDevice: z.boolean().nullable(),
  /** `nested` of kvm_intel or kvm_amd as the kernel prints it (`1`, `0`, `Y`, `N`); null when the module is not loaded. */
  nestedParameter: z.string().nullable(),
  caches: z.array(Cache),
  topology: Topology,
  /** Mitigation state by name, from /sys/devices/system/cpu/vulnerabilities. */
  vulnerabilities: z.record(z.string(), z.string()),
});

export type Facts = z.infer<typeof Facts>;
export type Cache = z.infer<typeof Cache>;
