// Finds and reads scenarios: files, folders, bundled ones by name, standard input.
import { createReadStream } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { printable } from '../report/printable.ts';
import { nearest } from './nearest.ts';
import { type Position, parseScenario } from './parse.ts';
import type { Scenario } from './schema.ts';

/** A scenario and where it was read; `line` and `column` are those of its name. */
export interface LoadedScenario extends Position {
  readonly scenario: Scenario;
  /** As the user gave it; for bundled ones relative to the working directory where that is shorter. */
  readonly file: string;
}

/** What loading uses of the environment; `stdin` (default: the program's own) is read for the argument `-`. */
type Sources = Pick<Environment, 'cwd' | 'signal'> & { readonly stdin?: Readable };

/** The package's own scenarios: next to dist/ in a clone and where npm installed it, next to src/ in tests. */
const BUNDLED = fileURLToPath(new URL('../../scenarios/', import.meta.url));
/** The largest file read. A scenario is a page of text; some of what YAML needs grows with the square of its size. */
export const MAX_BYTES = 128 * 1024;
const MAX_SHOWN = 100;
const YAML_FILE = /\.ya?ml$/;

/** Names of the bundled scenarios, sorted. Each is in the file of the same name. */
export async function bundledNames(): Promise<string[]> {
  return (await yamlFiles(BUNDLED)).map((file) => file.replace(YAML_FILE, ''));
}

/**
 * Reads the scenarios that `names` stand for, in that order and each file once; for no names, the bundled ones
 * tagged `default`. A name is a bundled scenario's, a file, a folder (every YAML file in it) or `-`.
 *
 * Throws one NestedCheckError('input') with all problems of all files, a line each: `file:line:column message`,
 * or `file: message` where there is no file to point into.
 */
export async function loadScenarios(names: readonly string[], sources: Sources): Promise<LoadedScenario[]> {
  const problems: string[] = [];
  const loaded: LoadedScenario[] = [];
  const bundled = await bundledNames();
  const files: File[] = [];
  for (const name of names.length > 0 ? names : bundled) {
    const found = await findFiles(name, bundled, sources);
    if (typeof found === 'string') problems.push(found);
    else files.push(...found);
  }
  const seen = new Set<string>();
  for (const file of files) {
    if (seen.has(file.identity)) continue;
    seen.add(file.identity);
    const result = await readScenario(file, sources);
    if (Array.isArray(result)) problems.push(...result);
    else loaded.push(result);
  }
  problems.push(...sameNames(loaded));
  if (problems.length > 0) throw inputError(problems, bundled);
  if (names.length > 0) return loaded;
  // The shallowest first: what most want to know is told soonest.
  return loaded
    .filter(({ scenario }) => scenario.tags.includes('default'))
    .sort((a, b) => deepest(a.scenario) - deepest(b.scenario));
}

function deepest({ depth, levels }: Scenario): number {
  return depth?.try ?? levels.length;
}

interface File {
  /** What it is called in messages. */
  readonly shown: string;
  /** Null for standard input. */
  readonly path: string | null;
  /** The same for two ways to the same file. */
  readonly identity: string;
}

/** The files that an argument stands for, or what is wrong with it. */
async function findFiles(name: string, bundled: readonly string[], { cwd }: Sources): Promise<File[] | string> {
  if (name === '-') return [{ shown: '<stdin>', path: null, identity: '-' }];
  if (bundled.includes(name)) {
    const path = join(BUNDLED, `${name}.yaml`);
    const near = relative(cwd, path);
    return [await fileAt(near.startsWith('..') ? path : near, path)];
  }
  const path = resolve(cwd, name);
  const shown = printable(name);
  try {
    if (!(await stat(path)).isDirectory()) return [await fileAt(shown, path)];
    const inside = await yamlFiles(path);
    if (inside.length === 0) return `${shown}: no *.yaml file in this folder`;
    return await Promise.all(inside.map((each) => fileAt(join(shown, each), join(path, each))));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') return `${shown}: ${reasonOf(error)}`;
    if (name.includes('/') || YAML_FILE.test(name)) return `${shown}: no such file or folder`;
    const guess = nearest(name, bundled);
    return `${shown}: neither a file, a folder nor a bundled scenario${guess === null ? '' : `; did you mean ${guess}?`}`;
  }
}

async function fileAt(shown: string, path: string): Promise<File> {
  return { shown, path, identity: await realpath(path).catch(() => path) };
}

async function yamlFiles(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((file) => YAML_FILE.test(file)).sort();
}

async function readScenario(file: File, sources: Sources): Promise<LoadedScenario | string[]> {
  let text: string;
  try {
    const bytes = await readBounded(file.path, sources);
    if (bytes === null) return [`${file.shown}:1:1 larger than ${MAX_BYTES / 1024} KiB, so not a scenario`];
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (sources.signal.aborted) throw sources.signal.reason;
    if (codeOf(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return [`${file.shown}:1:1 not UTF-8 text`];
    return [`${file.shown}: ${reasonOf(error)}`];
  }
  const parsed = parseScenario(text);
  if (parsed.kind === 'scenario') return { scenario: parsed.scenario, file: file.shown, ...parsed.position };
  return parsed.problems.map(({ line, column, message }) => `${file.shown}:${line}:${column} ${message}`);
}

/** Null when there is too much: a path may be a device or a pipe that never ends. */
async function readBounded(path: string | null, { signal, stdin }: Sources): Promise<Uint8Array | null> {
  const stream = path === null ? (stdin ?? process.stdin) : createReadStream(path);
  const stop = () => stream.destroy(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of stream as AsyncIterable<Uint8Array | string>) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      chunks.push(bytes);
      size += bytes.length;
      if (size > MAX_BYTES) return null;
    }
    return Buffer.concat(chunks);
  } finally {
    signal.removeEventListener('abort', stop);
    stream.destroy();
  }
}

/** Cases are told apart by their scenario's name. */
function sameNames(loaded: readonly LoadedScenario[]): string[] {
  const first = new Map<string, LoadedScenario>();
  return loaded.flatMap((each) => {
    const { name } = each.scenario;
    const other = first.get(name);
    if (other === undefined) first.set(name, each);
    return other === undefined ? [] : [`${placeOf(each)} name: ${name} is taken by ${placeOf(other)}`];
  });
}

function placeOf({ file, line, column }: LoadedScenario): string {
  return `${file}:${line}:${column}`;
}

function inputError(problems: readonly string[], bundled: readonly string[]): NestedCheckError {
  const shown = problems.slice(0, MAX_SHOWN);
  if (shown.length < problems.length) shown.push(`and ${problems.length - shown.length} more`);
  const heading = problems.length > 1 ? `${problems.length} problems with the scenarios\n` : '';
  const hint = problems.some((problem) => /:\d+:\d+ /.test(problem))
    ? `Every key is explained in ${join(BUNDLED, 'quick.yaml')}.`
    : `Bundled scenarios are ${bundled.join(', ')}; \`nested-check list\` says more about them.`;
  return new NestedCheckError('input', `${heading}${shown.join('\n')}`, { hint });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'may not be read (permission denied)',
  EISDIR: 'is a folder',
  ELOOP: 'is a chain of links without end',
  ENAMETOOLONG: 'too long for a file name',
  ENOENT: 'is gone or leads nowhere',
  ENOTDIR: 'is below something that is not a folder',
};

function reasonOf(error: unknown): string {
  const known = REASONS[String(codeOf(error))];
  return known ?? `can't be read: ${printable(error instanceof Error ? error.message : String(error))}`;
}
