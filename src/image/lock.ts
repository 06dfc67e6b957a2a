// A lock between processes that can't go stale: the kernel holds it for a child of ours and drops it when that dies.
import { open, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { NestedCheckError } from '../errors.ts';

// `waiting` or `locked` comes at once; the second flock sleeps in the kernel until its turn. The file descriptor stays
// with cat, which ends with our end of its stdin. setpriv: neither outlives us while it still waits.
const HOLDER = `exec 9>>"$1" || exit 1
flock -n 9 || { echo waiting; setpriv --pdeathsig KILL flock 9 || exit 1; }
echo locked
exec cat >/dev/null`;

/**
 * Runs `work` while we are the only process that holds the lock of this file.
 * @param file created when missing, never removed; holds the id of the process that had the lock last
 * @param onWaiting called once where another process has the lock, with its id
 * @throws NestedCheckError `host` without flock(1) or setpriv(1), `interrupted`; and what `work` throws
 */
export async function withLock<T>(
  file: string,
  options: { signal: AbortSignal; onWaiting: (pid: string) => void },
  work: () => Promise<T>,
): Promise<T> {
  const holder = execa('setpriv', ['--pdeathsig', 'KILL', 'sh', '-c', HOLDER, 'sh', file], {
    reject: false,
    cancelSignal: options.signal,
    forceKillAfterDelay: 1000,
  });
  try {
    let locked = false;
    for await (const line of createInterface({ input: holder.stdout })) {
      if (line === 'waiting') options.onWaiting((await readFile(file, 'utf8').catch(() => '')).trim() || 'unknown');
      locked = line === 'locked';
      if (locked) break;
    }
    if (!locked) {
      const result = await holder;
      if (options.signal.aborted)
        throw new NestedCheckError('interrupted', `interrupted while waiting for the lock ${file}`);
      throw new NestedCheckError('host', `can't lock ${file}: ${result.stderr.trim() || result.shortMessage}`, {
        hint: 'nested-check doctor --fix',
      });
    }
    const handle = await open(file, 'w');
    await handle.writeFile(`${process.pid}\n`).finally(() => handle.close());
    return await work();
  } finally {
    holder.stdin.end();
    await holder;
  }
}
