import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CpuShowOptions, cpuShow } from '../../src/commands/cpu-show.ts';
import { Facts } from '../../src/cpu/facts.ts';
import { parseTree } from '../../src/probe/tree.ts';

const FIXTURES = new URL('../fixtures/trees/', import.meta.url);

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'nested-check-cpu-show-'));
});
afterEach(() => rmSync(cwd, { recursive: true }));

async function show(options: CpuShowOptions, signal = new AbortController().signal): Promise<string> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const status = await cpuShow(options, { cwd, env: process.env, stdout, stderr, signal });
  expect(status).toBe(0);
  expect(stderr.read()).toBeNull();
  return String(stdout.read());
}

function captured(name: string): ReadonlyMap<string, string> {
  return parseTree(readFileSync(new URL(`${name}/tree.txt`, FIXTURES), 'utf8'));
}

function put(path: string, content: string): void {
  mkdirSync(dirname(join(cwd, path)), { recursive: true });
  writeFileSync(join(cwd, path), content);
}

test('shows this machine', async () => {
  expect(await show({})).toMatch(/^CPU +\S/);
  const facts = Facts.parse(JSON.parse(await show({ json: true })));
  expect(facts.kvmDevice).not.toBeNull();
  expect(facts.topology.cpus).toBeGreaterThan(0);
});

test('shows a captured tree, and nothing of this machine', async () => {
  for (const [path, content] of captured('skylake-server')) put(`tree/${path}`, `${content}\n`);
  const facts = Facts.parse(JSON.parse(await show({ root: 'tree', json: true })));
  expect(facts).toMatchObject({ vendor: 'GenuineIntel', hypervisor: 'TCG', topology: { sockets: 2, cpus: 8 } });
  expect(await show({ root: 'tree' })).toContain('L2 4 MiB ×4');
});

test('shows a tree of nothing but /proc/cpuinfo', async () => {
  put('tree/proc/cpuinfo', captured('made-cpuinfo-only').get('proc/cpuinfo') ?? '');
  const facts = Facts.parse(JSON.parse(await show({ root: join(cwd, 'tree'), json: true })));
  expect(facts).toMatchObject({ family: 15, kvmDevice: null, hypervisor: null, caches: [] });
});

test('shows a raw CPUID dump', async () => {
  put('dump', `${captured('epyc').get('cpuid')}\n`);
  const facts = Facts.parse(JSON.parse(await show({ cpuid: 'dump', json: true })));
  expect(facts).toMatchObject({ modelName: 'AMD EPYC Processor', virtualization: 'svm', kvmDevice: null });
});

describe('says what is wrong', () => {
  test.each([
    [{ root: 'none' }, 'input', '--root none: ENOENT: no such file or directory'],
    [{ root: 'file' }, 'input', '--root file: is not a folder'],
    [{ root: 'empty' }, 'input', '--root empty: holds no readable file of a CPU'],
    [{ cpuid: 'none' }, 'input', '--cpuid none: ENOENT: no such file or directory'],
    [{ cpuid: 'empty' }, 'input', '--cpuid empty: EISDIR: illegal operation on a directory'],
    [{ cpuid: 'blank' }, 'input', 'blank:1: holds no CPUID leaf'],
    [{ cpuid: 'file' }, 'input', 'file:2: not a line of a raw CPUID dump: what? red'],
    [{ root: 'empty', cpuid: 'file' }, 'usage', '--root and --cpuid are two sources for the same facts'],
  ])('%j', async (options, code, message) => {
    mkdirSync(join(cwd, 'empty'));
    put('blank', '');
    put('file', 'CPU:\nwhat?\t\u001b[31mred\n');
    await expect(show(options)).rejects.toMatchObject({
      name: 'NestedCheckError',
      code,
      message,
      hint: expect.stringMatching(/\w/),
    });
  });

  test('interrupted', async () => {
    await expect(show({}, AbortSignal.abort())).rejects.toMatchObject({ code: 'interrupted' });
  });
});
