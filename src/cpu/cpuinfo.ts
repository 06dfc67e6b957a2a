// What /proc/cpuinfo says, in the dialects of x86, arm, s390x, POWER, RISC-V and others.

import { parseSize, sortCaches } from './caches.ts';
import type { Cache } from './facts.ts';

/** What /proc/cpuinfo can tell; null for what this architecture or kernel doesn't print. */
export interface Cpuinfo {
  readonly vendor: string | null;
  readonly modelName: string | null;
  readonly family: number | null;
  readonly model: number | null;
  readonly stepping: number | null;
  readonly microcode: string | null;
  /** Those that every CPU has, sorted: on unlike CPUs nothing may count on the others. */
  readonly flags: string[] | null;
  readonly sockets: number | null;
  readonly cores: number | null;
  readonly threads: number | null;
  readonly cpus: number | null;
  /** s390x lists its caches here. */
  readonly caches: Cache[];
}

type Fields = ReadonlyMap<string, string>;

const MAX_FLAGS = 1024;

// The kernel prints the number only; the names are those of Arm's list of implementers.
const ARM_IMPLEMENTERS: Readonly<Record<string, string>> = {
  '0x41': 'ARM',
  '0x42': 'Broadcom',
  '0x43': 'Cavium',
  '0x46': 'Fujitsu',
  '0x48': 'HiSilicon',
  '0x4e': 'NVIDIA',
  '0x50': 'APM',
  '0x51': 'Qualcomm',
  '0x53': 'Samsung',
  '0x56': 'Marvell',
  '0x61': 'Apple',
  '0x69': 'Intel',
  '0x6d': 'Microsoft',
  '0x70': 'Phytium',
  '0xc0': 'Ampere',
};

/** Text of /proc/cpuinfo → what it says; an empty or senseless text gives nulls. Never throws. */
export function parseCpuinfo(text: string): Cpuinfo {
  const { cpus, machine } = sections(text);
  const first = cpus[0] ?? new Map();
  const field = (...names: string[]): string | null => {
    for (const name of names) {
      const value = first.get(name) ?? machine.get(name);
      if (value !== undefined && value !== '') return value;
    }
    return null;
  };
  return {
    vendor: field('vendor_id', 'vendor') ?? ARM_IMPLEMENTERS[field('CPU implementer') ?? ''] ?? null,
    modelName: field('model name', 'Model Name', 'uarch', 'cpu model', 'cpu'),
    family: decimal(field('cpu family')),
    model: decimal(field('model')),
    stepping: decimal(field('stepping')),
    microcode: field('microcode'),
    flags: commonFlags([...cpus, machine]),
    ...arrangement(cpus),
    cpus: cpus.length > 0 ? cpus.length : decimal(field('# processors')),
    caches: s390Caches(machine),
  };
}

/** One section for each CPU, which starts with its `processor`, and all the rest as one. */
function sections(text: string): { cpus: Fields[]; machine: Fields } {
  const cpus: Map<string, string>[] = [];
  const machine = new Map<string, string>();
  let section = machine;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) {
      if (line.trim() === '') section = machine;
      continue;
    }
    const key = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (key === 'processor' && /^\d+$/.test(value)) {
      section = new Map();
      cpus.push(section);
    }
    if (!section.has(key)) section.set(key, value);
  }
  return { cpus, machine };
}

function commonFlags(fields: readonly Fields[]): string[] | null {
  const lines = new Set<string>();
  for (const one of fields) {
    const line = one.get('flags') ?? one.get('Features') ?? one.get('features');
    if (line !== undefined) lines.add(line);
  }
  const [first, ...others] = [...lines].map((line) => new Set(line.split(/\s+/).filter((flag) => flag !== '')));
  if (first === undefined) return null;
  return [...first]
    .filter((flag) => others.every((flags) => flags.has(flag)))
    .sort()
    .slice(0, MAX_FLAGS);
}

/** Sockets, cores and threads from x86's `physical id`, `cpu cores` and `siblings`, where all CPUs agree. */
function arrangement(cpus: readonly Fields[]): Pick<Cpuinfo, 'sockets' | 'cores' | 'threads'> {
  const values = (name: string): Set<number | null> => new Set(cpus.map((cpu) => decimal(cpu.get(name) ?? null)));
  const packages = values('physical id');
  const sockets = packages.size === 0 || packages.has(null) ? null : packages.size;
  const perSocket = only(values('cpu cores'));
  const siblings = only(values('siblings'));
  const threads = perSocket === null || siblings === null ? null : siblings / perSocket;
  return {
    sockets,
    cores: sockets === null || perSocket === null ? null : sockets * perSocket,
    threads: threads !== null && Number.isInteger(threads) && threads > 0 ? threads : null,
  };
}

function only(values: ReadonlySet<number | null>): number | null {
  const [value] = values;
  return values.size === 1 && value !== undefined && value !== 0 ? value : null;
}

/** `cache0 : level=1 type=Data scope=Private size=128K line_size=256 associativity=8` */
function s390Caches(machine: Fields): Cache[] {
  const caches: Cache[] = [];
  for (const [key, value] of machine) {
    if (!/^cache\d{1,2}$/.test(key)) continue;
    const fields = new Map(value.split(/\s+/).map((field) => [field.split('=')[0] ?? '', field.split('=')[1] ?? '']));
    const level = decimal(fields.get('level') ?? null);
    const type = (['Data', 'Instruction', 'Unified'] as const).find((name) => name === fields.get('type'));
    if (level === null || level < 1 || type === undefined) continue;
    const ways = decimal(fields.get('associativity') ?? null);
    const sizeBytes = parseSize(fields.get('size'));
    caches.push({ level, type, sizeBytes, ways: ways === 0 ? null : ways, instances: null, sharedCpuList: null });
  }
  return sortCaches(caches);
}

function decimal(text: string | null): number | null {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}
