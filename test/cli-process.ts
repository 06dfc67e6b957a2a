// Starts the built program as a person does, watches it, and finds the QEMU processes that belong to it.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { dirSync } from 'tmp';
import { onTestFinished } from 'vitest';

const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const { name } = dirSync({ prefix: 'nested-check-test' });
  onTestFinished(() => rmSync(name, { recursive: true, force: true }));
  return name;
}

/** Starts the program with its state in `folder`, which is its working directory too. */
export function startCli(folder: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = execa(process.execPath, [CLI, ...args], {
    cwd: folder,
    // no libvirt of this machine is looked at
    env: { XDG_STATE_HOME: folder, LIBVIRT_DEFAULT_URI: 'test:///default', NO_COLOR: '1', ...env },
    reject: false,
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  return {
    child,
    /** Resolves when standard output has held this; rejects when the program ends before. */
    said: (words: string): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (text.includes(words)) resolve();
        };
        look();
        child.stdout.on('data', look);
        child.on('exit', () => reject(new Error(`ended before it said “${words}”:\n${text}`)));
      }),
  };
}

/** Runs the program to its end. */
export async function nestedCheck(folder: string, ...args: string[]) {
  const { exitCode, stdout, stderr } = await startCli(folder, args).child;
  return { exitCode, stdout, stderr };
}

/** Process ids of the QEMUs that have this folder in their command line: other people's run here too. */
export function qemusOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [program = '', ...rest] = read(`/proc/${pid}/cmdline`).split('\0');
      return program.includes('qemu') && rest.some((word) => word.includes(folder));
    });
}

/** The most memory that a process had so far, in MiB; null when it is gone. */
export function peakMiB(pid: number): number | null {
  const kB = /^VmHWM:\s*(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1];
  return kB === undefined ? null : Number(kB) / 1024;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process is gone
  }
}
