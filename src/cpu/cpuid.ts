// Reads raw CPUID dumps: what the CPU itself says, whatever the operating system makes of it.

import { sortCaches } from './caches.ts';
import type { Cache } from './facts.ts';

/** The four registers, each an unsigned 32-bit number. */
interface Registers {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** One CPU's answers; use `leaf` to look into it. */
export type CpuidLeaves = ReadonlyMap<string, Registers>;

interface CpuidDump {
  /** Leaves of each CPU in the order of the dump. `cpuid -1 -r` gives one, `cpuid -r` all. */
  readonly cpus: readonly CpuidLeaves[];
  /** Whether the CPUs are numbered, so that these are all CPUs of the machine. */
  readonly whole: boolean;
  /** The first line that belongs in no such dump, counted from 1, and what stands there. */
  readonly stray: { readonly line: number; readonly text: string } | null;
}

interface CpuidIdentity {
  readonly vendor: string | null;
  readonly modelName: string | null;
  readonly family: number | null;
  readonly model: number | null;
  readonly stepping: number | null;
}

const HEX = '0x([0-9a-f]{8})';
const LEAF = new RegExp(`^\\s*${HEX} 0x([0-9a-f]{2,8}): eax=${HEX} ebx=${HEX} ecx=${HEX} edx=${HEX}\\s*$`, 'i');
const HEADING = /^CPU( \d+)?:\s*$/;
const MAX_LEAVES = 1_000_000;

const HYPERVISORS: Readonly<Record<string, string>> = {
  KVMKVMKVM: 'KVM',
  'Linux KVM Hv': 'KVM',
  TCGTCGTCGTCG: 'TCG',
  'Microsoft Hv': 'Hyper-V',
  VMwareVMware: 'VMware',
  XenVMMXenVMM: 'Xen',
  'bhyve bhyve': 'bhyve',
  VBoxVBoxVBox: 'VirtualBox',
  'prl hyperv': 'Parallels',
  'lrpepyh vr': 'Parallels',
  OpenBSDVMM58: 'OpenBSD vmm',
  ACRNACRNACRN: 'ACRN',
  QNXQVMBSQG: 'QNX',
  Jailhouse: 'Jailhouse',
  UnisysSpar64: 's-Par',
};

/** Text of `cpuid -r` → its leaves. Passes over lines that are none, and remembers the first. Never throws. */
export function parseCpuid(text: string): CpuidDump {
  const cpus: Map<string, Registers>[] = [];
  let numbered = 0;
  let stray: CpuidDump['stray'] = null;
  let leaves = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const heading = HEADING.exec(line);
    const match = heading === null ? LEAF.exec(line) : null;
    if (heading !== null) {
      cpus.push(new Map());
      if (heading[1] !== undefined) numbered++;
    } else if (match !== null) {
      if (++leaves > MAX_LEAVES) break;
      const [number = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0] = match
        .slice(1)
        .map((digits) => Number.parseInt(digits, 16));
      if (cpus.length === 0) cpus.push(new Map());
      cpus.at(-1)?.set(`${number} ${subleaf}`, { eax, ebx, ecx, edx });
    } else if (line.trim() !== '' && stray === null) {
      stray = { line: index + 1, text: line };
    }
  }
  const filled = cpus.filter((cpu) => cpu.size > 0);
  return { cpus: filled, whole: numbered > 0 && numbered === filled.length, stray };
}

/** Registers of a leaf; null when the dump doesn't have it. */
export function leaf(leaves: CpuidLeaves, number: number, subleaf = 0): Registers | null {
  return leaves.get(`${number} ${subleaf}`) ?? null;
}

/** Vendor, name and version. Family, model and stepping are put together as Linux does it. */
export function cpuidIdentity(leaves: CpuidLeaves): CpuidIdentity {
  const basic = leaf(leaves, 0);
  const version = leaf(leaves, 1)?.eax ?? null;
  const brand = [0x80000002, 0x80000003, 0x80000004].map((number) => leaf(leaves, number));
  return {
    vendor: basic === null ? null : ascii([basic.ebx, basic.edx, basic.ecx]),
    modelName: brand.includes(null)
      ? null
      : ascii(brand.flatMap((part) => (part === null ? [] : [part.eax, part.ebx, part.ecx, part.edx]))),
    ...(version === null || version === 0 ? { family: null, model: null, stepping: null } : decodeVersion(version)),
  };
}

/**
 * Who runs this machine: the signature at 0x40000000, by the name people use, or the signature itself when it is not
 * known. A hypervisor that also plays another one for Windows (KVM as Hyper-V) has its own signature 0x100 further up.
 * Null on bare metal.
 */
export function cpuidHypervisor(leaves: CpuidLeaves): string | null {
  if (bits(leaf(leaves, 1)?.ecx ?? 0, 31, 31) === 0) return null;
  const names: string[] = [];
  for (let number = 0x40000000; number <= 0x40000400; number += 0x100) {
    const registers = leaf(leaves, number);
    const signature = registers === null ? null : ascii([registers.ebx, registers.ecx, registers.edx]);
    if (signature !== null) names.push(HYPERVISORS[signature] ?? signature);
  }
  return names.find((name) => name !== 'Hyper-V') ?? names[0] ?? null;
}

/** Whether an AMD CPU has the leaves 0x8000001d and 0x8000001e. */
export function hasTopoext(leaves: CpuidLeaves): boolean {
  return bits(leaf(leaves, 0x80000001)?.ecx ?? 0, 22, 22) === 1;
}

/** Caches as one CPU sees them; how many of each the machine has can't be told from here. */
export function cpuidCaches(leaves: CpuidLeaves): Cache[] {
  const vendor = cpuidIdentity(leaves).vendor;
  if (vendor === 'AuthenticAMD' && !hasTopoext(leaves)) return amdCaches(leaves);
  const amd = vendor === 'AuthenticAMD' || vendor === 'HygonGenuine';
  const caches: Cache[] = [];
  for (let subleaf = 0; subleaf < 32; subleaf++) {
    const registers = leaf(leaves, amd ? 0x8000001d : 4, subleaf);
    const type = ([null, 'Data', 'Instruction', 'Unified'] as const)[bits(registers?.eax ?? 0, 4, 0)];
    if (registers === null || type === null || type === undefined) break;
    const ways = bits(registers.ebx, 31, 22) + 1;
    const partitions = bits(registers.ebx, 21, 12) + 1;
    const line = bits(registers.ebx, 11, 0) + 1;
    const sizeBytes = ways * partitions * line * (registers.ecx + 1);
    caches.push(cache(bits(registers.eax, 7, 5), type, Number.isSafeInteger(sizeBytes) ? sizeBytes : null, ways));
  }
  return sortCaches(caches.filter(({ level }) => level > 0));
}

// Encodings of associativity in 0x80000006; what is not here is off, full or told elsewhere.
const AMD_WAYS = new Map([1, 2, 3, 4, 6, 8, null, 16, null, 32, 48, 64, 96, 128].map((ways, code) => [code + 1, ways]));

/** AMD's older leaves 0x80000005 (L1) and 0x80000006 (L2, L3). */
function amdCaches(leaves: CpuidLeaves): Cache[] {
  const first = leaf(leaves, 0x80000005);
  const next = leaf(leaves, 0x80000006);
  const l1 = (type: Cache['type'], register: number): Cache => {
    const ways = bits(register, 23, 16);
    return cache(1, type, bits(register, 31, 24) * 1024, ways === 0 || ways === 0xff ? null : ways);
  };
  const beyond = (level: number, register: number, sizeBytes: number): Cache =>
    cache(level, 'Unified', bits(register, 15, 12) === 0 ? 0 : sizeBytes, AMD_WAYS.get(bits(register, 15, 12)) ?? null);
  return [
    ...(first === null ? [] : [l1('Data', first.ecx), l1('Instruction', first.edx)]),
    ...(next === null ? [] : [beyond(2, next.ecx, bits(next.ecx, 31, 16) * 1024)]),
    ...(next === null ? [] : [beyond(3, next.edx, bits(next.edx, 31, 18) * 512 * 1024)]),
  ].filter(({ sizeBytes }) => sizeBytes !== 0);
}

function cache(level: number, type: Cache['type'], sizeBytes: number | null, ways: number | null): Cache {
  return { level, type, sizeBytes, ways, instances: null, sharedCpuList: null };
}

function decodeVersion(version: number): { family: number; model: number; stepping: number } {
  const family = bits(version, 11, 8) + (bits(version, 11, 8) === 15 ? bits(version, 27, 20) : 0);
  const model = bits(version, 7, 4) + (family >= 6 ? bits(version, 19, 16) * 16 : 0);
  return { family, model, stepping: bits(version, 3, 0) };
}

/** Registers as text, four characters each: printable ASCII only, blanks squeezed as Linux does; null when nothing is left. */
function ascii(registers: readonly number[]): string | null {
  const characters = registers.flatMap((register) =>
    [0, 8, 16, 24].map((shift) => String.fromCharCode((register >>> shift) & 0xff)),
  );
  const text = characters
    .join('')
    .replace(/[^ -~]/g, '')
    .replace(/ +/g, ' ')
    .trim();
  return text === '' ? null : text;
}

/** The bits from `high` down to `low`, as a number. */
export function bits(register: number, high: number, low: number): number {
  return (register >>> low) % 2 ** (high - low + 1);
}
