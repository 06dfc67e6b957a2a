// The main job, for real: an emulated host, a guest in it, and a guest in that guest.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dirSync } from 'tmp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Report } from '../../src/report/report.ts';
import { peakMiB, qemusOf, startCli } from '../cli-process.ts';

let folder: string;
let result: { exitCode?: number | undefined; stdout: string; stderr: string };
let peak = 0;
let report: Report;
let qemusMeanwhile: number[] = [];

beforeAll(async () => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
  const { child, said } = startCli(folder, 'run quick --host emulated --out run --report json:copy.json'.split(' '));
  const { pid = 0 } = child;
  const sampling = setInterval(() => {
    peak = peakMiB(pid) ?? peak;
  }, 100);
  await said('host: emulated');
  qemusMeanwhile = qemusOf(folder);
  result = await child;
  clearInterval(sampling);
  report = Report.parse(JSON.parse(readFileSync(join(folder, 'copy.json'), 'utf8')));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('all is as expected: status 0, verdict pass', () => {
  expect(result).toMatchObject({ exitCode: 0, stderr: '' });
  expect(report).toMatchObject({ verdict: 'pass', interrupted: false, problem: null });
  expect(report.cases).toMatchObject([
    { id: 'quick', verdict: 'pass', depth: 2, asked: { atLeast: 2, try: 2 }, stopped: null, problem: null },
  ]);
});

test('the run folder holds the same report as --report json:', () => {
  expect(JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8'))).toEqual(report);
});

test('the host under test is told', () => {
  expect(report.host).toMatchObject({
    kind: 'emulated',
    reason: 'asked for with --host emulated',
    facts: { virtualization: 'svm', kvmDevice: true },
    kernel: expect.stringMatching(/^\d+\.\d+/),
    qemu: expect.stringMatching(/^\d+\.\d+/),
    libvirt: expect.stringMatching(/^\d+\.\d+/),
    kvm: { usable: true, module: 'kvm_amd', parameters: { nested: '1' } },
  });
});

describe.each([1, 2])('level %i', (number) => {
  const level = () => {
    const found = report.cases[0]?.levels[number - 1];
    if (found === undefined) throw new Error(`no level ${number}`);
    return found;
  };

  test('really runs with KVM and could host KVM guests', () => {
    expect(level()).toMatchObject({
      level: number,
      accelerator: 'kvm',
      machine: expect.stringMatching(/^pc-q35-/),
      facts: { hypervisor: 'KVM', virtualization: 'svm', kvmDevice: true, nestedParameter: '1' },
      kvm: { usable: true, module: 'kvm_amd' },
    });
    expect(level().bootMs).toBeGreaterThan(0);
  });

  test('got the CPU that was asked for', () => {
    const { cpu } = level();
    expect(cpu.requested).toEqual({ mode: 'host-passthrough' });
    expect(cpu.liveXml).toMatch(/^<cpu mode='host-passthrough'/);
    expect(cpu.qemuCpu).toMatch(/^host(,|$)/);
  });

  test('shows caches with sizes', () => {
    const caches = level().facts?.caches ?? [];
    expect(caches.length).toBeGreaterThan(0);
    for (const cache of caches) expect(cache.sizeBytes).toBeGreaterThan(0);
  });

  test('passed every probe', () => {
    const { probes } = level();
    expect(probes.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
    expect(probes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['boots', 'accelerator', 'virtualization', 'kvm-device', 'caches', 'dmesg']),
    );
  });

  test('left its evidence', () => {
    const evidence = join(folder, 'run', report.cases[0]?.evidence ?? '?', `L${number}`);
    const read = (name: string) => readFileSync(join(evidence, name), 'utf8');
    expect(read('domain-asked.xml')).toContain("<cpu mode='host-passthrough'");
    expect(read('domain-live.xml')).toMatch(/^<domain type='kvm' id='\d+'>/);
    expect(read('qemu-arguments.txt')).toMatch(/^-cpu\nhost/m);
    expect(read('dmesg.txt')).toContain('Linux version');
    expect(existsSync(join(evidence, 'console.txt'))).toBe(true);
    expect(statSync(evidence).mode & 0o777).toBe(0o700);
    expect(statSync(join(evidence, 'dmesg.txt')).mode & 0o777).toBe(0o600);
  });
});

test('the run folder is for its owner alone, and its lease is given back', () => {
  expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o700);
  expect(existsSync(join(folder, 'run/lease.json'))).toBe(false);
});

test('the table at the end has a line for each level', () => {
  for (const number of [1, 2]) {
    const line = new RegExp(`^quick +L${number} +host-passthrough +svm +kvm, /dev/kvm +L1d .* s +pass$`, 'm');
    expect(result.stdout).toMatch(line);
  }
  expect(result.stdout).toMatch(/^quick: reached L2 \(asked for 2\)$/m);
});

test('the tool itself took less than 150 MB', () => {
  expect(peak).toBeGreaterThan(10);
  expect(peak * 1.048576).toBeLessThan(150);
});

test('no QEMU of ours remains', () => {
  expect(qemusMeanwhile).toHaveLength(1);
  expect(qemusOf(folder)).toEqual([]);
});
