// One process, named for good by its id and start time.
import { copyFileSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isAlive, LEASE_FILE, LeaseFile, returnLease, startTimeOf, takeLease } from '../../src/run/lease.ts';

let folder: string;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterEach(() => rmSync(folder, { recursive: true }));

test('our own process has a start time, always the same', async () => {
  const startTime = await startTimeOf(process.pid);
  expect(startTime).toMatch(/^[1-9]\d*$/);
  expect(await startTimeOf(process.pid)).toBe(startTime);
  expect(await isAlive({ pid: process.pid, startTime: startTime ?? '' })).toBe(true);
});

test('a process that ended has none', async () => {
  const child = execa('sleep', ['60'], { reject: false });
  const { pid = 0 } = child;
  const startTime = await startTimeOf(pid);
  expect(startTime).not.toBeNull();
  child.kill('SIGKILL');
  await child;
  expect(await startTimeOf(pid)).toBeNull();
  expect(await isAlive({ pid, startTime: startTime ?? '' })).toBe(false);
});

test('another process with the same id is another process', async () => {
  expect(await isAlive({ pid: process.pid, startTime: '1' })).toBe(false);
});

test.each(['a b', 'x) S 1 2 3 (y', '((()))', ') R 0 0'])('a program called “%s”', async (name) => {
  const program = join(folder, name);
  const sleep = (await execa('sh', ['-c', 'command -v sleep'])).stdout;
  copyFileSync(sleep, program);
  const [before, child] = [
    await execa('cut', ['-d', ' ', '-f', '1', '/proc/uptime']),
    execa(program, ['60'], { reject: false }),
  ];
  const { pid = 0 } = child;
  await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(`(${name})`);
  const startTime = Number(await startTimeOf(pid));
  // 100 clock ticks a second, on every Linux that Node runs on
  expect(startTime / 100).toBeGreaterThan(Number(before.stdout) - 1);
  expect(startTime / 100).toBeLessThan(Number(before.stdout) + 30);
  child.kill('SIGKILL');
  await child;
});

test('a lease is written for its owner alone, and given back', async () => {
  const lease = await takeLease(folder);
  const file = join(folder, LEASE_FILE);
  expect(LeaseFile.parse(JSON.parse(readFileSync(file, 'utf8')))).toEqual({
    run: lease.run,
    pid: process.pid,
    startTime: await startTimeOf(process.pid),
  });
  expect(lease.run).toMatch(/^[0-9a-f]{8}$/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(await isAlive(lease)).toBe(true);
  await returnLease(lease);
  expect(existsSync(file)).toBe(false);
  await returnLease(lease);
});
