// How a requirement is looked at: programs along PATH, versions, folders, memory.
import { access, constants } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import type { Environment } from '../environment.ts';

/** What was seen of a requirement. */
export interface Finding {
  /** `warning`: it works without, but worse. */
  readonly state: 'ok' | 'missing' | 'warning';
  readonly seen: string;
}

export const ok = (seen: string): Finding => ({ state: 'ok', seen });
export const missing = (seen: string): Finding => ({ state: 'missing', seen });
export const warning = (seen: string): Finding => ({ state: 'warning', seen });

/** Bytes in a GB, as disks and this program count them. */
export const GB = 1e9;
/** Bytes of memory below which guests in guests have no room. */
export const MEMORY = 4 * GB;

/** Too little in all is missing; enough that others use now is a warning. */
export function judgeMemory(meminfo: string): Finding {
  const bytes = (key: string) =>
    Number(new RegExp(`^${key}:\\s*(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? Number.NaN) * 1024;
  const [total, available] = [bytes('MemTotal'), bytes('MemAvailable')];
  if (Number.isNaN(total)) return warning('unknown');
  const seen = `${(total / GB).toFixed(1)} GB${Number.isNaN(available) ? '' : `, ${(available / GB).toFixed(1)} GB of it available`}`;
  if (total < MEMORY) return missing(seen);
  return available < MEMORY ? warning(seen) : ok(seen);
}

/** Compares the first two numbers of a version such as 7.2.22. */
export function isAtLeast(version: string, wanted: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
}

/** Looks along PATH, and where daemons are for users whose PATH lacks it. */
export async function findProgram(name: string, environment: Environment): Promise<string | null> {
  for (const folder of [...(environment.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']) {
    const path = join(folder, name);
    if (folder !== '' && (await canAccess(path, constants.X_OK))) return path;
  }
  return null;
}

/** The folder itself, or what exists of the way to it. */
export async function nearestFolder(folder: string): Promise<string> {
  return (await canAccess(folder, constants.F_OK)) || dirname(folder) === folder
    ? folder
    : nearestFolder(dirname(folder));
}

/** May this user open a file in this way (`constants` of node:fs)? */
export const canAccess = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
