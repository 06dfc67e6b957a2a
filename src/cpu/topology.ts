// How the CPUs of a machine are arranged.

import { parseCpuList } from './cpu-list.ts';
import type { Cpuinfo } from './cpuinfo.ts';
import type { Facts } from './facts.ts';
import { cpuList, groupsOf, type Sysfs, type SysfsCpu, wholeNumber } from './sysfs.ts';

type Topology = Facts['topology'];

/**
 * Topology of the online CPUs, from sysfs, and from /proc/cpuinfo where sysfs is silent. Unlike cores (hybrid): `threads`
 * is that of the cores that have most, so `cores` times `threads` may be more than `cpus`. Dies are only counted by
 * kernels that know them (since 5.2).
 */
export function readTopology(sysfs: Sysfs, cpuinfo: Cpuinfo): Topology {
  const lists = (...names: string[]): string[] | null =>
    groupsOf(
      sysfs.cpus.map((cpu) => cpuList(cpu, ...names.map((name) => `topology/${name}`))),
      sysfs.online,
    );
  const packages = lists('package_cpus_list', 'core_siblings_list', 'core_siblings');
  const cores = lists('core_cpus_list', 'thread_siblings_list', 'thread_siblings');
  return {
    sockets: packages?.length ?? distinct(sysfs, ['physical_package_id']) ?? cpuinfo.sockets,
    dies: distinct(sysfs, ['physical_package_id', 'die_id']),
    cores: cores?.length ?? cpuinfo.cores,
    threads: cores === null ? cpuinfo.threads : largest(cores),
    cpus: sysfs.online.length > 0 ? sysfs.online.length : cpuinfo.cpus,
  };
}

function largest(lists: readonly string[]): number {
  return lists.reduce((size, list) => Math.max(size, parseCpuList(list)?.length ?? 0), 0);
}

/** How many different combinations of these numbers there are; null when some online CPU lacks one. */
function distinct({ online, cpus }: Sysfs, names: readonly string[]): number | null {
  if (cpus.length === 0 || cpus.length < online.length) return null;
  const seen = new Set<string>();
  for (const cpu of cpus) {
    const numbers = names.map((name) => topologyNumber(cpu, name));
    if (numbers.includes(null)) return null;
    seen.add(numbers.join(' '));
  }
  return seen.size;
}

function topologyNumber(cpu: SysfsCpu, name: string): number | null {
  return wholeNumber(cpu.files.get(`topology/${name}`));
}
