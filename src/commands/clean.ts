// nested-check clean: what dead runs left behind. What is not ours, or belongs to a run that lives, is never touched.
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readLease } from '../domain/domain-xml.ts';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { execLocal, localUri } from '../host/local.ts';
import { isAlive, LEASE_FILE, LeaseFile } from '../run/lease.ts';
import { runsFolder } from './run.ts';

/** Finds, says and removes leftovers; returns the exit status. */
export async function clean(options: { dryRun?: boolean }, environment: Environment): Promise<number> {
  const { stdout } = environment;
  const domains = await leftDomains(environment);
  const folders = await leftFolders(environment);
  for (const domain of domains) {
    if (!options.dryRun) await destroy(domain, environment);
    stdout.write(`${options.dryRun ? 'would remove' : 'removed'} domain ${domain}\n`);
  }
  for (const folder of folders) {
    if (!options.dryRun) await rm(folder, { recursive: true, force: true });
    stdout.write(`${options.dryRun ? 'would remove' : 'removed'} unfinished run ${folder}\n`);
  }
  if (domains.length + folders.length === 0) stdout.write('nothing was left behind\n');
  return 0;
}

/** Domains of the local libvirt that carry our lease and whose owner is dead. No libvirt: none. */
async function leftDomains(environment: Environment): Promise<string[]> {
  const uri = localUri(environment);
  const virsh = (...words: string[]) =>
    execLocal({ argv: ['virsh', '-q', '-c', uri, ...words], timeoutMs: 60_000 }, environment.signal);
  const list = await virsh('list', '--all', '--name').catch((error: unknown) => {
    if (error instanceof NestedCheckError && error.code === 'host') return null;
    throw error;
  });
  const left: string[] = [];
  if (list !== null && list.exitCode !== 0) {
    throw new NestedCheckError('host', `${uri} can't be asked what domains are left: ${list.stderr.trim()}`, {
      hint: 'start libvirtd, or set LIBVIRT_DEFAULT_URI',
    });
  }
  for (const name of (list?.stdout ?? '').split('\n').filter((line) => line.startsWith('nested-check-'))) {
    const lease = readLease((await virsh('dumpxml', name)).stdout);
    if (lease !== null && !(await isAlive(lease))) left.push(name);
  }
  return left;
}

async function destroy(domain: string, environment: Environment): Promise<void> {
  const argv = ['virsh', '-q', '-c', localUri(environment), 'destroy', domain] as const;
  const { exitCode, stderr } = await execLocal({ argv: [...argv], timeoutMs: 60_000 }, environment.signal);
  if (exitCode !== 0) throw new NestedCheckError('command', `could not destroy ${domain}: ${stderr.trim()}`);
}

/** Run folders whose run neither ended nor lives. A finished run has given its lease back, and its folder stays. */
async function leftFolders(environment: Environment): Promise<string[]> {
  const runs = runsFolder(environment);
  const names = await readdir(runs).catch(() => []);
  const left: string[] = [];
  for (const name of names) {
    const text = await readFile(join(runs, name, LEASE_FILE), 'utf8').catch(() => null);
    if (text === null) continue;
    const lease = LeaseFile.safeParse(safeJson(text));
    if (!lease.success || !(await isAlive(lease.data))) left.push(join(runs, name));
  }
  return left;
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
