// The CPUs of a tree as the kernel's sysfs shows them, whatever the kernel's age.
import { formatCpuList, parseCpuList, parseCpuMask } from './cpu-list.ts';

const ROOT = 'sys/devices/system/cpu/';

// The lists of a real machine hold each CPU once; made-up ones could keep us busy for hours.
const MAX_LISTED = 1_000_000;

export interface SysfsCpu {
  readonly cpu: number;
  /** Contents by path below the CPU's folder, such as `cache/index0/size`. */
  readonly files: ReadonlyMap<string, string>;
}

export interface Sysfs {
  /** Numbers of the online CPUs, in order, from the kernel's list or else from the folders; empty when neither exists. */
  readonly online: readonly number[];
  /** The online CPUs of which there are files, in order. */
  readonly cpus: readonly SysfsCpu[];
}

/** A tree (contents by path from the root) → what sysfs says of its online CPUs. */
export function readSysfs(tree: ReadonlyMap<string, string>): Sysfs {
  const folders = new Map<number, Map<string, string>>();
  for (const [path, content] of tree) {
    const match = path.startsWith(ROOT) ? /^cpu(\d{1,5})\/(.+)$/.exec(path.slice(ROOT.length)) : null;
    const file = match?.[2];
    if (match === null || file === undefined) continue;
    const cpu = Number(match[1]);
    const files = folders.get(cpu) ?? new Map<string, string>();
    folders.set(cpu, files.set(file, content.trim()));
  }
  const listed = parseCpuList(tree.get(`${ROOT}online`) ?? '') ?? [];
  const listedOnline = new Set(listed);
  const isOnline = ([cpu, files]: [number, Map<string, string>]): boolean =>
    listed.length > 0 ? listedOnline.has(cpu) : files.get('online') !== '0';
  const cpus = [...folders]
    .sort(([a], [b]) => a - b)
    .filter(isOnline)
    .map(([cpu, files]) => ({ cpu, files }));
  return { online: listed.length > 0 ? listed : cpus.map(({ cpu }) => cpu), cpus };
}

/**
 * The CPU list in the first of these files that holds one, as the kernel lists CPUs (`0-3,8`). A file whose name doesn't
 * end in `_list` holds a mask. Null when there is none.
 */
export function cpuList(cpu: SysfsCpu, ...names: readonly string[]): string | null {
  for (const name of names) {
    const content = cpu.files.get(name) ?? '';
    const list = name.endsWith('_list') ? content : formatCpuList(parseCpuMask(content) ?? []);
    if (/^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/.test(list)) return list;
  }
  return null;
}

/** Distinct CPU lists, or null when one of these CPUs is in none of them, so that counting them would be a guess. */
export function groupsOf(lists: readonly (string | null)[], cpus: readonly number[]): string[] | null {
  const groups = [...new Set(lists.filter((list) => list !== null))];
  const missing = new Set(cpus);
  let listed = 0;
  for (const group of groups) {
    if (missing.size === 0) break;
    for (const cpu of parseCpuList(group) ?? []) {
      missing.delete(cpu);
      listed++;
    }
    if (listed > MAX_LISTED) return null;
  }
  return groups.length > 0 && missing.size === 0 ? groups : null;
}

/** A file of non-negative decimal digits → number; null when missing, negative (`-1`: the kernel doesn't know) or odd. */
export function wholeNumber(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : null;
}
