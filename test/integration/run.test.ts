// `run` and `clean` of the built program where nothing needs to boot.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startTimeOf } from '../../src/run/lease.ts';
import { nestedCheck, qemusOf, temporaryFolder } from '../cli-process.ts';

/** Nothing was started and nothing written. */
function expectUntouched(folder: string): void {
  expect(qemusOf(folder)).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
}

describe('--dry-run', () => {
  test.each([
    ['quick', 'emulated', 2],
    ['openstack-on-openstack', 'emulated', 4],
    ['quick', 'local', 2],
    ['quick', 'auto', 2],
    ['quick', 'emulated:EPYC', 2],
  ])('%s on %s: what libvirt accepts, for each level', async (scenario, host, depth) => {
    const folder = temporaryFolder();
    const { exitCode, stdout, stderr } = await nestedCheck(folder, 'run', scenario, '--host', host, '--dry-run');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expectUntouched(folder);
    const domains = stdout.match(/^<domain [\s\S]*?^<\/domain>$/gm) ?? [];
    expect(domains).toHaveLength(depth);
    for (const [index, xml] of domains.entries()) {
      const file = join(folder, `${index}.xml`);
      writeFileSync(file, xml);
      execFileSync('virsh', ['-c', 'test:///default', 'define', '--validate', file], { stdio: 'pipe' });
      const level = index + 1;
      expect(xml).toContain(`<name>nested-check-RUN-${scenario}-L${level}</name>`);
      expect(xml.includes('nested_check.host')).toBe(level < depth);
      expect(stdout).toMatch(
        new RegExp(`^# L${level}, started in L${index} with: virsh -c \\S+ create .*-L${level}\\.xml$`, 'm'),
      );
    }
    const qemu = /^setpriv --pdeathsig=KILL qemu-system-x86_64 .*$/m.exec(stdout)?.[0];
    if (host === 'local') {
      expect(qemu).toBeUndefined();
      expect(domains[0]).toContain("<disk type='file'");
    } else {
      expect(qemu).toMatch(new RegExp(` -machine q35,accel=tcg -cpu ${host === 'emulated:EPYC' ? 'EPYC' : 'max'},`));
      expect(qemu).toContain("-append 'console=ttyS0 ");
      expect(domains[0]).toContain("<disk type='block'");
    }
  });

  test('the words of its command survive a shell', async () => {
    const folder = temporaryFolder();
    const { stdout } = await nestedCheck(folder, 'run', 'quick', '--host', 'emulated', '--dry-run');
    const line = /^setpriv .*$/m.exec(stdout)?.[0] ?? '';
    const words = execFileSync('sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' }).split('\0');
    expect(words.slice(0, 3)).toEqual(['setpriv', '--pdeathsig=KILL', 'qemu-system-x86_64']);
    expect(words[words.indexOf('-append') + 1]).toMatch(/^console=ttyS0 .* nested_check\.host mitigations=off$/);
  });

  test('--depth and --only are heard', async () => {
    const args = ['run', 'quick', 'openstack-on-openstack', '--only', 'stack', '--depth', '3', '--dry-run'];
    const { stdout } = await nestedCheck(temporaryFolder(), ...args);
    expect(stdout.match(/^# \S+: L1 to L\d/gm)).toEqual(['# openstack-on-openstack: L1 to L3']);
  });
});

describe('what is wrong ends with 2 before anything boots', () => {
  test.each([
    [
      'an unknown host',
      ['--host', 'emulatd'],
      /^nested-check: --host: unknown host “emulatd”\n {2}hint: one of auto, local/,
    ],
    ['an emulated host without its CPU', ['--host', 'emulated:'], /unknown host “emulated:”/],
    [
      '--only that no case has',
      ['--only', 'nothing'],
      /--only: no case's name contains “nothing”\n {2}hint: there are: quick$/m,
    ],
  ])('%s', async (_, args, message) => {
    const folder = temporaryFolder();
    const { exitCode, stdout, stderr } = await nestedCheck(folder, 'run', 'quick', ...args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expectUntouched(folder);
  });

  test.each([
    ['a folder that is not there', 'json:no/such/folder/run.json'],
    ['a folder in its place', 'json:taken'],
    ['a folder that takes no files', 'json:/proc/run.json'],
  ])('a report that can not be written: %s', async (_, report) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'taken'));
    const { exitCode, stdout, stderr } = await nestedCheck(
      folder,
      'run',
      'quick',
      '--host',
      'emulated',
      '--report',
      report,
    );
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^nested-check: --report json: can't write \/.*\n {2}hint: /);
    expect(stdout).not.toContain('host:');
    expect(qemusOf(folder)).toEqual([]);
    // no half-written file beside it
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('--out with a run in it', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'old'));
    writeFileSync(join(folder, 'old/run.json'), 'precious');
    const { exitCode, stderr } = await nestedCheck(folder, 'run', 'quick', '--host', 'emulated', '--out', 'old');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^nested-check: --out: .* already holds a run\n {2}hint: /);
    expect(readFileSync(join(folder, 'old/run.json'), 'utf8')).toBe('precious');
  });

  test('--out that is a file', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const { exitCode, stderr } = await nestedCheck(folder, 'run', 'quick', '--host', 'emulated', '--out', 'file');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^nested-check: the run folder can't be made: /);
  });
});

describe('clean', () => {
  /** A run folder of each kind, with the lease of a dead or a living process. */
  async function withRuns() {
    const folder = temporaryFolder();
    const runs = join(folder, 'nested-check/runs');
    const make = (name: string, files: Record<string, string>): void => {
      mkdirSync(join(runs, name, 'host'), { recursive: true });
      for (const [file, text] of Object.entries(files)) writeFileSync(join(runs, name, file), text);
    };
    const lease = (pid: number, startTime: string) => JSON.stringify({ run: 'a1b2c3d4', pid, startTime });
    const ours = (await startTimeOf(process.pid)) ?? '';
    make('finished', { 'run.json': '{}' });
    make('dead', { 'run.json': '{}', 'lease.json': lease(2 ** 22 + 1, '5') });
    // the process id is in use again
    make('reused', { 'run.json': '{}', 'lease.json': lease(process.pid, `1${ours}`) });
    make('alive', { 'run.json': '{}', 'lease.json': lease(process.pid, ours) });
    return { folder, runs };
  }
  const left = ['dead', 'reused'];

  test('--dry-run only says what is left', async () => {
    const { folder, runs } = await withRuns();
    const { exitCode, stdout, stderr } = await nestedCheck(folder, 'clean', '--dry-run');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout.split('\n').sort()).toEqual(left.map((name) => `would remove unfinished run ${join(runs, name)}`));
    expect(readdirSync(runs).sort()).toEqual(['alive', 'dead', 'finished', 'reused']);
  });

  test('removes what dead runs left, and nothing else', async () => {
    const { folder, runs } = await withRuns();
    const { exitCode, stdout } = await nestedCheck(folder, 'clean');
    expect(exitCode).toBe(0);
    expect(stdout.split('\n').sort()).toEqual(left.map((name) => `removed unfinished run ${join(runs, name)}`));
    expect(readdirSync(runs).sort()).toEqual(['alive', 'finished']);
    expect(existsSync(join(runs, 'finished/run.json'))).toBe(true);
    expect(await nestedCheck(folder, 'clean')).toMatchObject({ exitCode: 0, stdout: 'nothing was left behind' });
  });

  test('where nothing ever ran', async () => {
    const folder = temporaryFolder();
    expect(await nestedCheck(folder, 'clean')).toEqual({ exitCode: 0, stdout: 'nothing was left behind', stderr: '' });
    expectUntouched(folder);
  });
});
