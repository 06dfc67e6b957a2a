// CPU facts in words for people.
import { printable } from '../report/printable.ts';
import type { Cache, Facts } from './facts.ts';

const LABEL_WIDTH = 17;
const TEXT_WIDTH = 100;

/** `64 KiB`, `1.5 MiB`: the largest unit that leaves at least 1. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(2))} ${units[unit]}`;
}

/** `L1d 64 KiB ×4, L1i 64 KiB ×4, L2 512 KiB ×4, L3 16 MiB`; `?` for a size nobody told, `none seen` without caches. */
export function formatCaches(facts: Pick<Facts, 'caches'>): string {
  return facts.caches.length === 0 ? 'none seen' : facts.caches.map(formatCache).join(', ');
}

function formatCache({ level, type, sizeBytes, instances }: Cache): string {
  const letter = { Data: 'd', Instruction: 'i', Unified: '' }[type];
  const size = sizeBytes === null ? '?' : formatBytes(sizeBytes);
  return `L${level}${letter} ${size}${instances !== null && instances > 1 ? ` ×${instances}` : ''}`;
}

/** `2 sockets, 2 dies, 4 cores, 2 threads per core, 8 CPUs online`, without what is not known. */
export function formatTopology(facts: Pick<Facts, 'topology'>): string {
  const { sockets, dies, cores, threads, cpus } = facts.topology;
  const known = [
    count(sockets, 'socket', 'sockets'),
    count(dies, 'die', 'dies'),
    count(cores, 'core', 'cores'),
    count(threads, 'thread per core', 'threads per core'),
    count(cpus, 'CPU online', 'CPUs online'),
  ].filter((text) => text !== null);
  return known.length === 0 ? 'unknown' : known.join(', ');
}

function count(number: number | null, one: string, many: string): string | null {
  return number === null ? null : `${number} ${number === 1 ? one : many}`;
}

/** `svm, /dev/kvm opens, nested=1` */
export function formatVirtualization(facts: Pick<Facts, 'virtualization' | 'kvmDevice' | 'nestedParameter'>): string {
  const { virtualization, kvmDevice, nestedParameter } = facts;
  return [
    virtualization ?? 'neither vmx nor svm',
    kvmDevice === null ? null : kvmDevice ? '/dev/kvm opens' : '/dev/kvm does not open',
    nestedParameter === null ? null : `nested=${printable(nestedParameter, 20)}`,
  ]
    .filter((text) => text !== null)
    .join(', ');
}

/** Facts → lines for a terminal of 120 columns, safe to show whatever machine they came from. */
export function formatFacts(facts: Facts): string[] {
  const version = [
    facts.family === null ? null : `family ${facts.family}`,
    facts.model === null ? null : `model ${facts.model}`,
    facts.stepping === null ? null : `stepping ${facts.stepping}`,
    facts.microcode === null ? null : `microcode ${printable(facts.microcode, 40)}`,
  ].filter((text) => text !== null);
  return [
    entry('CPU', printable(facts.modelName ?? 'unknown', TEXT_WIDTH)),
    entry('Vendor', printable(facts.vendor ?? 'unknown', 40)),
    ...(version.length === 0 ? [] : [entry('Version', version.join(', '))]),
    entry('Hypervisor', printable(facts.hypervisor ?? 'none seen', 40)),
    entry('Virtualization', formatVirtualization(facts)),
    entry('Topology', formatTopology(facts)),
    ...entries('Caches', formatCaches(facts).split(/(?<=,) /)),
    ...entries(
      'Flags',
      (facts.flags ?? ['unknown']).map((flag) => printable(flag, 40)),
    ),
    ...mitigations(facts.vulnerabilities),
  ];
}

/** What is said of each vulnerability, and the names of those that this CPU is safe from together at the end. */
function mitigations(vulnerabilities: Facts['vulnerabilities']): string[] {
  const safe = (state: string): boolean => state === 'Not affected';
  const states = Object.entries(vulnerabilities).map(([name, state]) => [printable(name, 40), printable(state, 200)]);
  const unsafe = states.filter(([, state]) => !safe(state ?? ''));
  const safeNames = states.filter(([, state]) => safe(state ?? '')).map(([name]) => name ?? '');
  return [
    ...unsafe.map(([name, state], index) => entry(index === 0 ? 'Mitigations' : '', `${name}: ${state}`)),
    ...(safeNames.length === 0 ? [] : entries('Not affected by', safeNames)),
  ];
}

function entry(label: string, text: string): string {
  return `${label.padEnd(LABEL_WIDTH)}${text}`.trimEnd();
}

/** A label and words that are broken into lines. */
function entries(label: string, words: readonly string[]): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    if (line !== '' && line.length + 1 + word.length > TEXT_WIDTH) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((text, index) => entry(index === 0 ? label : '', text));
}
