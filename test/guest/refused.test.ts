// What libvirt will not start is judged with libvirt's own words.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dirSync } from 'tmp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Report } from '../../src/report/report.ts';
import { qemusOf, startCli } from '../cli-process.ts';

const SCENARIOS = {
  model: 'cpu: {mode: custom, model: NoSuchModel}',
  machine: 'machine: pc-q35-99.9',
  feature: 'cpu: {mode: custom, model: qemu64, features: {avx512f: require}}',
};

let folder: string;
beforeAll(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
  for (const [name, level] of Object.entries(SCENARIOS)) {
    writeFileSync(join(folder, `${name}.yaml`), `name: ${name}\ndescription: Refused\nlevels:\n  - ${level}\n`);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

async function run(out: string, names: string[]) {
  const files = names.map((name) => `${name}.yaml`);
  const { exitCode, stdout, stderr } = await startCli(folder, [
    'run',
    ...files,
    ...['--host', 'emulated', '--out', out],
  ]).child;
  expect(stdout + stderr).not.toMatch(/nested-check: internal error|^ {4}at /m);
  expect(qemusOf(folder)).toEqual([]);
  return { exitCode, stdout, report: Report.parse(JSON.parse(readFileSync(join(folder, out, 'run.json'), 'utf8'))) };
}

test('a CPU or a machine type that can not be had is a failed verdict in the words of libvirt, and the run goes on', async () => {
  const { exitCode, stdout, report } = await run('all', ['machine', 'model', 'feature']);
  expect(report.problem).toBeNull();
  const found = Object.fromEntries(report.cases.map((each) => [each.id, each]));
  for (const [id, verdict, words] of [
    ['machine', 'fail', /machine type.*pc-q35-99\.9|pc-q35-99\.9.*machine type/i],
    ['model', 'fail', /NoSuchModel/],
    ['feature', 'fail', /avx512f/],
  ] as const) {
    expect(found[id], id).toMatchObject({
      verdict,
      depth: 0,
      problem: { code: 'refused', message: expect.stringMatching(words) },
      levels: [{ level: 1, facts: null, probes: [{ name: 'boots', verdict, observed: expect.stringMatching(words) }] }],
    });
    expect(stdout).toMatch(
      new RegExp(`^${verdict} ${id} L1 boots\\n  expected: .*\\n  observed: L1: libvirt would not`, 'm'),
    );
  }
  expect(report.verdict).toBe('fail');
  expect(exitCode).toBe(1);
});

test('a guest larger than this machine is refused before anything boots, with 3', async () => {
  writeFileSync(join(folder, 'large.yaml'), 'name: large\ndescription: Too large\nlevels: [{memory: 900000 GiB}]\n');
  const { exitCode, stdout, report } = await run('large', ['large']);
  expect(exitCode).toBe(3);
  expect(report).toMatchObject({
    verdict: 'error',
    cases: [],
    problem: { code: 'host', message: expect.stringMatching(/^L0: \d+ MiB of memory are needed, \d+ MiB are free$/) },
  });
  expect(stdout).toContain('MiB of memory are needed');
});
