// The caches of a machine, as the kernel's sysfs shows them.
import type { Cache } from './facts.ts';
import { cpuList, groupsOf, type Sysfs, type SysfsCpu, wholeNumber } from './sysfs.ts';

const TYPES = ['Data', 'Instruction', 'Unified'] as const;
const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** What one CPU sees of one cache. */
type Seen = Pick<Cache, 'level' | 'type' | 'sizeBytes' | 'ways' | 'sharedCpuList'>;

/**
 * Caches of the online CPUs, one entry for each kind. Caches of one level and type but of different size or ways (hybrid
 * CPUs, CPUs with stacked cache) are different kinds, so size times instances is always right.
 */
export function readCaches(sysfs: Sysfs): Cache[] {
  const kinds = new Map<string, [Seen, ...Seen[]]>();
  const showing = new Set<number>();
  for (const cpu of sysfs.cpus) {
    for (const cache of cachesOf(cpu)) {
      showing.add(cpu.cpu);
      const name = [cache.level, cache.type, cache.sizeBytes, cache.ways].join(' ');
      const kind = kinds.get(name);
      if (kind === undefined) kinds.set(name, [cache]);
      else kind.push(cache);
    }
  }
  // A CPU that shows no cache at all may well have some: then only what others share with it can be counted.
  const silent = sysfs.online.filter((cpu) => !showing.has(cpu));
  return sortCaches(
    [...kinds.values()].map((kind) => {
      const lists = kind.map((cache) => cache.sharedCpuList);
      const instances = lists.includes(null) ? null : (groupsOf(lists, silent)?.length ?? null);
      const { level, type, sizeBytes, ways, sharedCpuList } = kind[0];
      return { level, type, sizeBytes, ways, instances, sharedCpuList };
    }),
  );
}

/** By level, then Data, Instruction, Unified; caches alike in both keep their order. */
export function sortCaches(caches: readonly Cache[]): Cache[] {
  return caches.toSorted((a, b) => a.level - b.level || TYPES.indexOf(a.type) - TYPES.indexOf(b.type));
}

/** Fills what the first caches leave open from the second ones; takes the second ones when there are no first ones. */
export function fillCaches(caches: readonly Cache[], others: readonly Cache[]): Cache[] {
  if (caches.length === 0) return [...others];
  return caches.map((cache) => {
    const other = others.find(({ level, type }) => level === cache.level && type === cache.type);
    const alone = caches.filter(({ level, type }) => level === cache.level && type === cache.type).length === 1;
    if (other === undefined || !alone) return cache;
    return { ...cache, sizeBytes: cache.sizeBytes ?? other.sizeBytes, ways: cache.ways ?? other.ways };
  });
}

/** A size as the kernel writes it (`32K`, `16384K`, `1M`, `64 KB`) → bytes; null for 0 and for what is no size. */
export function parseSize(text: string | undefined): number | null {
  const match = /^(\d{1,9}) ?([KMG]?)B?$/.exec(text?.trim() ?? '');
  const bytes = Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? Number.NaN);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : null;
}

function cachesOf(cpu: SysfsCpu): Seen[] {
  const folders = new Set([...cpu.files.keys()].map((file) => /^cache\/index\d{1,2}(?=\/)/.exec(file)?.[0]));
  return [...folders].flatMap((folder) => {
    if (folder === undefined) return [];
    const level = wholeNumber(cpu.files.get(`${folder}/level`));
    const type = TYPES.find((name) => name === cpu.files.get(`${folder}/type`));
    if (level === null || level < 1 || type === undefined) return [];
    const ways = wholeNumber(cpu.files.get(`${folder}/ways_of_associativity`));
    return [
      {
        level,
        type,
        sizeBytes: parseSize(cpu.files.get(`${folder}/size`)),
        // 0 is the kernel's word for "not known, or fully associative".
        ways: ways === 0 ? null : ways,
        sharedCpuList: cpuList(cpu, `${folder}/shared_cpu_list`, `${folder}/shared_cpu_map`),
      },
    ];
  });
}
