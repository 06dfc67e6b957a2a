// nested-check doctor from the outside. Nothing is installed: what is missing is hidden by an empty PATH.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterEach(() => rmSync(folder, { recursive: true }));

function doctor(args: readonly string[], path = process.env['PATH']) {
  const env = { PATH: path, XDG_CACHE_HOME: folder };
  return execa(process.execPath, [CLI, 'doctor', ...args], { reject: false, env, stdin: 'ignore' });
}

test('--json prints every requirement with what was seen', async () => {
  const { stdout } = await doctor(['--json']);
  const diagnoses: unknown[] = JSON.parse(stdout);
  const node = { name: 'node', state: 'ok', seen: process.versions.node, wanted: '20.19 or newer', mend: null };
  expect(diagnoses).toContainEqual(expect.objectContaining(node));
  expect(diagnoses).toContainEqual(expect.objectContaining({ name: '/dev/kvm', neededFor: ['run'] }));
});

test('what is missing leads to status 3, and each line says what mends it', async () => {
  mkdirSync(join(folder, 'bin'));
  const { exitCode, stdout } = await doctor([], join(folder, 'bin'));
  expect(exitCode).toBe(3);
  expect(stdout).toMatch(/^missing +mmdebstrap +not found +installed$/m);
  expect(stdout).toMatch(/^mmdebstrap \(builds guest images\):\n {2}\S/m);
});

test('--fix without a terminal and without --yes installs nothing, and says what it would', async () => {
  const { exitCode, stdout } = await doctor(['--fix'], join(folder, 'bin'));
  expect(exitCode).toBe(3);
  expect(stdout).toMatch(/^Missing: .*mmdebstrap.*\. This installs it:\n {2}\S/);
  expect(stdout).toMatch(/Nothing was installed|yours to run/);
});
