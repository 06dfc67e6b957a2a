// Who owns what a run creates: its id, and the process that would clean up. A dead owner's things are leftovers.
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export interface RunLease {
  /** Short and unique: part of every domain's name. */
  readonly run: string;
  readonly pid: number;
  /** When that process started, in clock ticks since boot; with the pid it names one process for good. */
  readonly startTime: string;
  readonly folder: string;
}

/** In a run folder while its run goes on. */
export const LEASE_FILE = 'lease.json';
export const LeaseFile = z.object({ run: z.string(), pid: z.int(), startTime: z.string() });

/** A lease for this process, written down in the run folder. */
export async function takeLease(folder: string): Promise<RunLease> {
  const lease = {
    run: randomBytes(4).toString('hex'),
    pid: process.pid,
    startTime: (await startTimeOf(process.pid)) ?? '0',
  };
  // In one step: half a lease would look like a dead one.
  await writeFile(join(folder, `${LEASE_FILE}.tmp`), `${JSON.stringify(lease)}\n`, { mode: 0o600 });
  await rename(join(folder, `${LEASE_FILE}.tmp`), join(folder, LEASE_FILE));
  return { ...lease, folder };
}

/** Says that nothing of the run remains. */
export async function returnLease(lease: RunLease): Promise<void> {
  await rm(join(lease.folder, LEASE_FILE), { force: true });
}

/** Start time of a process, field 22 of /proc/PID/stat (proc(5)); null when there is no such process. */
export async function startTimeOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The second field is the program's name in brackets and may itself hold spaces and brackets.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

/** Whether the process that holds a lease still runs. */
export async function isAlive(lease: Pick<RunLease, 'pid' | 'startTime'>): Promise<boolean> {
  return (await startTimeOf(lease.pid)) === lease.startTime;
}
