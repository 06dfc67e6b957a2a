// From what was read of a machine to the facts about its CPU.
import { fillCaches, readCaches } from './caches.ts';
import {
  bits,
  type CpuidLeaves,
  cpuidCaches,
  cpuidHypervisor,
  cpuidIdentity,
  hasTopoext,
  leaf,
  parseCpuid,
} from './cpuid.ts';
import { cpuidFlags } from './cpuid-flags.ts';
import { parseCpuinfo } from './cpuinfo.ts';
import type { Cache, Facts } from './facts.ts';
import { readSysfs } from './sysfs.ts';
import { readTopology } from './topology.ts';

const VULNERABILITY = /^sys\/devices\/system\/cpu\/vulnerabilities\/([a-z0-9][a-z0-9_]*)$/;

/** lscpu names some hypervisors otherwise than their signatures do. */
const LSCPU_HYPERVISORS: Readonly<Record<string, string>> = { Microsoft: 'Hyper-V', innotek: 'VirtualBox' };

/**
 * A tree (contents by path from the root, see TREE_SCRIPT) → facts. Any part may be missing: what the kernel doesn't say is
 * taken from the CPUID dump if there is one, and is null otherwise. Never throws.
 */
export function factsFromTree(tree: ReadonlyMap<string, string>): Facts {
  const cpuinfo = parseCpuinfo(tree.get('proc/cpuinfo') ?? '');
  const sysfs = readSysfs(tree);
  const leaves = parseCpuid(tree.get('cpuid') ?? '').cpus[0] ?? new Map();
  const identity = cpuidIdentity(leaves);
  const flags = cpuinfo.flags ?? cpuidFlags(leaves);
  const virtualization = virtualizationOf(flags);
  return {
    vendor: cpuinfo.vendor ?? identity.vendor,
    modelName: cpuinfo.modelName ?? identity.modelName,
    family: cpuinfo.family ?? identity.family,
    model: cpuinfo.model ?? identity.model,
    stepping: cpuinfo.stepping ?? identity.stepping,
    microcode: cpuinfo.microcode,
    hypervisor: hypervisorOf(tree, leaves, flags),
    flags,
    virtualization,
    kvmDevice: kvmDeviceOf(tree.get('dev/kvm')),
    nestedParameter: nestedOf(tree, virtualization),
    caches: fillCaches(fillCaches(withoutWrongWays(readCaches(sysfs), leaves), cpuinfo.caches), cpuidCaches(leaves)),
    topology: readTopology(sysfs, cpuinfo),
    vulnerabilities: vulnerabilitiesOf(tree),
  };
}

/**
 * Text of `cpuid -r` → facts. CPUID knows nothing of microcode, /dev/kvm, kernel modules and mitigations, and one CPU
 * knows nothing of how many others there are: all that is null or empty.
 */
export function factsFromCpuid(text: string): Facts {
  const dump = parseCpuid(text);
  const leaves = dump.cpus[0] ?? new Map();
  const flags = cpuidFlags(leaves);
  return {
    ...cpuidIdentity(leaves),
    microcode: null,
    hypervisor: cpuidHypervisor(leaves),
    flags,
    virtualization: virtualizationOf(flags),
    kvmDevice: null,
    nestedParameter: null,
    caches: cpuidCaches(leaves),
    topology: {
      sockets: null,
      dies: null,
      cores: null,
      threads: threadsPerCore(leaves),
      cpus: dump.whole ? dump.cpus.length : null,
    },
    vulnerabilities: {},
  };
}

/**
 * Of AMD CPUs without topoext, Linux before 2025 decodes the ways wrongly (16 where the CPU says 8, 64 for 12): then they
 * are left open for what CPUID says.
 */
function withoutWrongWays(caches: Cache[], leaves: CpuidLeaves): Cache[] {
  if (cpuidIdentity(leaves).vendor !== 'AuthenticAMD' || hasTopoext(leaves)) return caches;
  return caches.map((cache) => ({ ...cache, ways: null }));
}

function virtualizationOf(flags: readonly string[] | null): Facts['virtualization'] {
  return (['vmx', 'svm'] as const).find((flag) => flags?.includes(flag)) ?? null;
}

function hypervisorOf(tree: ReadonlyMap<string, string>, leaves: CpuidLeaves, flags: string[] | null): string | null {
  const signature = cpuidHypervisor(leaves);
  if (signature !== null) return signature;
  if (tree.get('sys/hypervisor/type')?.trim() === 'xen') return 'Xen';
  // On other architectures lscpu takes every QEMU machine for KVM.
  const vendor = flags?.includes('hypervisor') ? tree.get('lscpu-hypervisor')?.trim() : undefined;
  return vendor === undefined || vendor === '' ? null : (LSCPU_HYPERVISORS[vendor] ?? vendor);
}

function kvmDeviceOf(state: string | undefined): boolean | null {
  if (state === 'open') return true;
  return state === 'denied' || state === 'absent' ? false : null;
}

function nestedOf(tree: ReadonlyMap<string, string>, virtualization: Facts['virtualization']): string | null {
  const modules = virtualization === 'vmx' ? ['kvm_intel', 'kvm_amd'] : ['kvm_amd', 'kvm_intel'];
  const parameters = modules.map((module) => tree.get(`sys/module/${module}/parameters/nested`)?.trim());
  return parameters.find((parameter) => parameter !== undefined && parameter !== '') ?? null;
}

function vulnerabilitiesOf(tree: ReadonlyMap<string, string>): Record<string, string> {
  const states: Record<string, string> = {};
  for (const path of [...tree.keys()].sort()) {
    const name = VULNERABILITY.exec(path)?.[1];
    if (name !== undefined) states[name] = tree.get(path)?.trim() ?? '';
  }
  return states;
}

/** From leaf 0xb, whose first level is that of threads; null without it. */
function threadsPerCore(leaves: CpuidLeaves): number | null {
  const registers = leaf(leaves, 0xb);
  if (registers === null || bits(registers.ecx, 15, 8) !== 1) return null;
  const threads = bits(registers.ebx, 15, 0);
  return threads === 0 ? null : threads;
}
