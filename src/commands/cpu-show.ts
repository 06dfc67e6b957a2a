// `nested-check cpu show`: CPU facts of this machine, of a captured tree, or of a raw CPUID dump.
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { execa } from 'execa';
import { parseCpuid } from '../cpu/cpuid.ts';
import type { Facts } from '../cpu/facts.ts';
import { factsFromCpuid, factsFromTree } from '../cpu/facts-from-tree.ts';
import { formatFacts } from '../cpu/format.ts';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { parseTree, TREE_SCRIPT } from '../probe/tree.ts';
import { printable } from '../report/printable.ts';

export interface CpuShowOptions {
  /** Folder of a captured tree. */
  readonly root?: string | undefined;
  /** File with the output of `cpuid -r`. */
  readonly cpuid?: string | undefined;
  readonly json?: boolean | undefined;
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const MAX_DUMP_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 60_000;

/** Prints the facts on standard output, as text or (`json`) as Facts, and returns the exit status. Throws NestedCheckError. */
export async function cpuShow(options: CpuShowOptions, environment: Environment): Promise<number> {
  const facts = await readFacts(options, environment);
  const text = options.json ? JSON.stringify(facts, null, 2) : formatFacts(facts).join('\n');
  environment.stdout.write(`${text}\n`);
  return 0;
}

async function readFacts({ root, cpuid }: CpuShowOptions, environment: Environment): Promise<Facts> {
  if (root !== undefined && cpuid !== undefined) {
    throw new NestedCheckError('usage', '--root and --cpuid are two sources for the same facts', {
      hint: 'Give one of them.',
    });
  }
  if (cpuid !== undefined) return await factsOfDump(cpuid, environment);
  if (root !== undefined) return await factsOfFolder(root, environment);
  return await factsOfThisMachine(environment);
}

async function factsOfThisMachine(environment: Environment): Promise<Facts> {
  const tree = parseTree(await runTreeScript('/', ['live'], environment));
  if (!describesCpu(tree)) {
    throw new NestedCheckError('host', 'this machine has neither /proc/cpuinfo nor /sys/devices/system/cpu', {
      hint: 'Run it on Linux, or give a captured tree with --root DIR or a dump with --cpuid FILE.',
    });
  }
  return factsFromTree(tree);
}

async function factsOfFolder(root: string, environment: Environment): Promise<Facts> {
  const folder = resolve(environment.cwd, root);
  const found = await stat(folder).catch((cause: unknown) => {
    throw new NestedCheckError('input', `--root ${root}: ${words(cause)}`, {
      hint: 'Give the folder of a captured tree, which holds proc/cpuinfo and sys/devices/system/cpu.',
      cause,
    });
  });
  if (!found.isDirectory()) {
    throw new NestedCheckError('input', `--root ${root}: is not a folder`, {
      hint: 'A raw CPUID dump is read with --cpuid FILE.',
    });
  }
  const tree = parseTree(await runTreeScript(folder, [], environment));
  if (!describesCpu(tree)) {
    throw new NestedCheckError('input', `--root ${root}: holds no readable file of a CPU`, {
      hint: 'Looked for proc/cpuinfo, sys/devices/system/cpu and cpuid below it.',
    });
  }
  return factsFromTree(tree);
}

async function factsOfDump(file: string, environment: Environment): Promise<Facts> {
  const text = await readDump(file, environment);
  const { cpus, stray } = parseCpuid(text);
  const hint = 'Make one with `cpuid -1 -r` (Debian package cpuid).';
  if (stray !== null) {
    throw new NestedCheckError(
      'input',
      `${file}:${stray.line}: not a line of a raw CPUID dump: ${printable(stray.text, 80)}`,
      { hint },
    );
  }
  if (cpus.length === 0) throw new NestedCheckError('input', `${file}:1: holds no CPUID leaf`, { hint });
  return factsFromCpuid(text);
}

async function readDump(file: string, environment: Environment): Promise<string> {
  const path = resolve(environment.cwd, file);
  try {
    const { size } = await stat(path);
    if (size > MAX_DUMP_BYTES) throw new Error(`is too large for a CPUID dump (${size} bytes)`);
    return await readFile(path, { encoding: 'utf8', signal: environment.signal });
  } catch (cause) {
    if (environment.signal.aborted) throw new NestedCheckError('interrupted', 'interrupted', { cause });
    throw new NestedCheckError('input', `--cpuid ${file}: ${words(cause)}`, {
      hint: 'Give a file with the output of `cpuid -1 -r`.',
      cause,
    });
  }
}

async function runTreeScript(cwd: string, parameters: string[], environment: Environment): Promise<string> {
  const result = await execa('sh', ['-c', TREE_SCRIPT, 'sh', ...parameters], {
    cwd,
    env: environment.env,
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    maxBuffer: MAX_OUTPUT_BYTES,
    timeout: TIMEOUT_MS,
    cancelSignal: environment.signal,
  });
  if (result.isCanceled) throw new NestedCheckError('interrupted', 'interrupted', { cause: result });
  if (result.timedOut) {
    throw new NestedCheckError('timeout', `reading ${cwd} took more than ${TIMEOUT_MS / 1000} seconds`, {
      hint: 'Is it on a file system that does not answer?',
    });
  }
  if (result.failed) {
    throw new NestedCheckError('command', `could not read ${cwd}: ${printable(result.shortMessage ?? '')}`, {
      hint: 'A POSIX sh with find and grep is needed.',
      cause: result,
    });
  }
  return result.stdout;
}

function describesCpu(tree: ReadonlyMap<string, string>): boolean {
  return [...tree.keys()].some(
    (path) => path === 'proc/cpuinfo' || path === 'cpuid' || path.startsWith('sys/devices/system/cpu/'),
  );
}

/** What the operating system says, without Node's decoration: `ENOENT: no such file or directory`. */
function words(cause: unknown): string {
  return printable((cause instanceof Error ? cause.message : String(cause)).replace(/, (?:stat|open|read).*$/s, ''));
}
