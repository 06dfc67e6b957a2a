// However a run ends, nothing of it goes on: no QEMU, no temporary folder, and a report of what was known.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Report } from '../../src/report/report.ts';
import { nestedCheck, qemusOf, startCli, temporaryFolder } from '../cli-process.ts';

/** Starts `run quick` with temporary files of its own. */
function startQuick(...args: string[]) {
  const folder = temporaryFolder();
  const temporary = join(folder, 'temporary');
  mkdirSync(temporary);
  const started = startCli(folder, ['run', 'quick', '--host', 'emulated', ...args], { TMPDIR: temporary });
  return { ...started, folder, temporary };
}

const OUT = ['--out', 'run'];
const reportIn = (folder: string) => Report.parse(JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8')));

function expectNothingLeft(folder: string, temporary: string): void {
  expect(qemusOf(folder)).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
  expect(existsSync(join(folder, 'run/lease.json'))).toBe(false);
}

test('SIGKILL: QEMU goes with the tool, and `clean` finds the rest', async () => {
  const { child, said, folder } = startQuick();
  await said('host: emulated');
  expect(qemusOf(folder)).toHaveLength(1);
  const runs = join(folder, 'nested-check/runs');
  const [run = '', ...more] = readdirSync(runs);
  expect(more).toEqual([]);
  const report = () => Report.parse(JSON.parse(readFileSync(join(runs, run, 'run.json'), 'utf8')));
  await expect.poll(() => report().host?.kind, { timeout: 5000 }).toBe('emulated');
  child.kill('SIGKILL');
  await child;
  await expect.poll(() => qemusOf(folder), { timeout: 2000, interval: 50 }).toEqual([]);
  // what was known is there, and whole
  expect(report()).toMatchObject({ verdict: 'error', cases: [{ id: 'quick', problem: { code: 'interrupted' } }] });
  expect(await nestedCheck(folder, 'clean')).toMatchObject({
    exitCode: 0,
    stdout: `removed unfinished run ${join(runs, run)}`,
  });
  expect(readdirSync(runs)).toEqual([]);
});

test.each([
  // in the middle of level 2's boot, and of level 1's
  ['SIGINT', 'L1 up after'],
  ['SIGTERM', 'host: emulated'],
] as const)('%s: stops within 10 s with 130, and says what is known', async (signal, words) => {
  const { child, said, folder, temporary } = startQuick(...OUT);
  await said(words);
  const started = performance.now();
  child.kill(signal);
  const { exitCode, stdout, stderr } = await child;
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(exitCode).toBe(130);
  expect(stderr).toContain('nested-check: stopping, and cleaning up');
  expect(stderr).not.toMatch(/internal error|^ {4}at /m);
  expect(stdout).toContain('(interrupted)');
  const report = reportIn(folder);
  expect(report.interrupted).toBe(true);
  expect(report.host?.kind).toBe('emulated');
  expect(report.cases).toMatchObject([{ id: 'quick', verdict: 'error', problem: { code: 'interrupted' } }]);
  if (signal === 'SIGINT') expect(report.cases[0]?.depth).toBe(1);
  expectNothingLeft(folder, temporary);
});

test('--timeout: the case is an error, and the run ends with 3', async () => {
  const { child, folder, temporary } = startQuick(...OUT, '--timeout', '20');
  const started = performance.now();
  const { exitCode, stdout } = await child;
  expect(exitCode).toBe(3);
  // the host's own start comes before
  expect(performance.now() - started).toBeLessThan(180_000);
  const report = reportIn(folder);
  expect(report).toMatchObject({ verdict: 'error', interrupted: false, problem: null });
  expect(report.cases).toMatchObject([{ verdict: 'error', problem: { code: 'timeout' } }]);
  expect(report.cases[0]?.durationMs).toBeLessThan(30_000);
  expect(stdout).toContain('the case took longer than 20 s');
  expectNothingLeft(folder, temporary);
});

test('the emulated host killed from outside: an error that says so, and 3', async () => {
  const { child, said, folder, temporary } = startQuick(...OUT);
  await said('host: emulated');
  const [qemu, ...more] = qemusOf(folder);
  if (qemu === undefined || more.length > 0) throw new Error('not one QEMU');
  process.kill(qemu, 'SIGKILL');
  const started = performance.now();
  const { exitCode, stdout } = await child;
  // at once, not at some deadline
  expect(performance.now() - started).toBeLessThan(10_000);
  const report = reportIn(folder);
  expect(report.cases[0]?.problem).toMatchObject({
    code: 'died',
    message: expect.stringContaining('the emulated host ended'),
  });
  expect(stdout).toContain('the emulated host ended');
  // Nothing was found out about nesting: that is no failed verdict.
  expect(report.verdict).toBe('error');
  expect(exitCode).toBe(3);
  expectNothingLeft(folder, temporary);
});
