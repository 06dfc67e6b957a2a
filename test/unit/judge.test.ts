// Expectation × observation → verdict, probe by probe.
import { describe, expect, test } from 'vitest';
import type { Facts } from '../../src/cpu/facts.ts';
import type { LiveDomain } from '../../src/domain/live.ts';
import { dmesgTrouble } from '../../src/probe/dmesg.ts';
import { isOff, judge, judgeAbsence, type Observation } from '../../src/probe/judge.ts';
import type { LevelPlan } from '../../src/scenario/plan.ts';

const plan = (over: Partial<LevelPlan> = {}): LevelPlan => ({
  level: 2,
  cpu: { mode: 'host-passthrough' },
  vcpus: 1,
  memoryMiB: 320,
  machine: 'q35',
  isHost: false,
  required: true,
  expect: {},
  ...over,
});
const facts = (over: Partial<Facts> = {}): Facts => ({
  vendor: 'AuthenticAMD',
  modelName: 'AMD EPYC 7B13',
  family: 25,
  model: 1,
  stepping: 0,
  microcode: null,
  hypervisor: 'KVM',
  flags: ['fpu', 'npt', 'svm'],
  virtualization: 'svm',
  kvmDevice: true,
  nestedParameter: '1',
  caches: [{ level: 1, type: 'Data', sizeBytes: 65_536, ways: 2, instances: 1, sharedCpuList: '0' }],
  topology: { sockets: 1, dies: 1, cores: 1, threads: 1, cpus: 1 },
  vulnerabilities: {},
  ...over,
});
const live = (over: Partial<LiveDomain> = {}): LiveDomain => ({
  xml: '<domain/>',
  cpuXml: null,
  machine: 'pc-q35-7.2',
  argv: ['qemu-system-x86_64', '-cpu', 'host'],
  cpuArguments: ['host'],
  console: '',
  log: null,
  accelerator: 'kvm',
  ...over,
});
const seen = (over: Partial<Observation> = {}): Observation => ({
  facts: facts(),
  live: live(),
  dmesg: 'Linux version 6.1.0',
  parent: facts(),
  ...over,
});
const without = { virtualization: null, flags: ['fpu'], kvmDevice: false, nestedParameter: null };

function probe(name: string, plan: LevelPlan, observation: Observation) {
  const found = judge(plan, observation).filter((each) => each.name === name);
  expect(found).toHaveLength(1);
  return found[0];
}

test('a level where all is well passes everything, without hints', () => {
  for (const each of judge(plan({ isHost: true }), seen())) expect(each).toMatchObject({ verdict: 'pass', hint: null });
});

test('each probe has a name of its own', () => {
  const expectations = { flags: { present: ['svm'] }, 'model-name': 'EPYC' };
  const names = judge(plan({ expect: expectations }), seen()).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test('what nobody could find out is never pass and never fail', () => {
  const expectations = {
    virtualization: true,
    'kvm-device': true,
    nested: true,
    flags: { present: ['svm'], absent: ['vmx'] },
    'model-name': 'EPYC',
    dmesg: 'clean' as const,
  };
  const nothing = { facts: null, live: null, dmesg: null, parent: null };
  for (const each of judge(plan({ expect: expectations }), nothing)) {
    if (each.name !== 'boots') expect(each, each.name).toMatchObject({ verdict: 'error', hint: null });
  }
});

describe('accelerator', () => {
  test.each([
    ['kvm', 'KVM', 'pass'],
    ['tcg', 'TCG', 'fail'],
    // QEMU and the guest do not agree: one of them saw emulation
    ['tcg', 'KVM', 'fail'],
    ['kvm', 'TCG', 'fail'],
    ['kvm', 'Xen', 'fail'],
    ['tcg', null, 'fail'],
    [null, 'TCG', 'fail'],
    ['kvm', null, 'error'],
    [null, 'KVM', 'error'],
    [null, null, 'error'],
  ] as const)('QEMU says %s, the guest sees %s: %s', (accelerator, hypervisor, verdict) => {
    const observation = seen({ live: live({ accelerator }), facts: facts({ hypervisor }) });
    const result = probe('accelerator', plan(), observation);
    expect(result?.verdict).toBe(verdict);
    expect(result?.observed).toContain(`QEMU: ${accelerator ?? 'not known'}; inside: ${hypervisor ?? 'not known'}`);
    expect(result?.hint ?? '').toMatch(verdict === 'fail' ? /fell back to emulation/ : /^$/);
  });
});

describe('cpu-argument', () => {
  test.each([
    [[], 'pass', 'none'],
    [['host'], 'pass', 'host'],
    [['host', 'EPYC'], 'fail', 'host and then EPYC'],
  ] as const)('%j: %s', (cpuArguments, verdict, observed) => {
    const result = probe('cpu-argument', plan(), seen({ live: live({ cpuArguments }) }));
    expect(result).toMatchObject({ verdict, observed });
    expect(result?.hint ?? '').toMatch(verdict === 'fail' ? /the last one wins/ : /^$/);
  });

  test('unknown where the arguments could not be read', () => {
    const observation = seen({ live: live({ argv: null, cpuArguments: [] }) });
    expect(probe('cpu-argument', plan(), observation)?.verdict).toBe('error');
  });
});

describe('virtualization', () => {
  test.each([
    // expected, seen, verdict
    [true, 'svm', 'pass'],
    [true, 'vmx', 'pass'],
    [true, null, 'fail'],
    ['svm', 'svm', 'pass'],
    ['svm', 'vmx', 'fail'],
    ['vmx', null, 'fail'],
    [false, null, 'pass'],
    [false, 'svm', 'fail'],
  ] as const)('%s is wanted, %s is seen: %s', (want, virtualization, verdict) => {
    const observation = seen({ facts: facts({ virtualization }) });
    const result = probe('virtualization', plan({ expect: { virtualization: want } }), observation);
    expect(result).toMatchObject({ verdict, observed: virtualization ?? 'neither vmx nor svm' });
    expect(result?.expected).not.toBeNull();
  });

  test('is wanted of a host and of host-passthrough, and of no other level', () => {
    const observation = seen({ facts: facts(without) });
    const model: LevelPlan['cpu'] = { mode: 'host-model' };
    expect(probe('virtualization', plan(), observation)?.verdict).toBe('fail');
    expect(probe('virtualization', plan({ cpu: model, isHost: true }), observation)?.verdict).toBe('fail');
    expect(probe('virtualization', plan({ cpu: model }), observation)).toMatchObject({
      verdict: 'pass',
      expected: null,
    });
  });

  test.each(['0', 'N'])('nested=%s in the level above is the hint', (nestedParameter) => {
    const observation = seen({ facts: facts(without), parent: facts({ nestedParameter }) });
    const result = probe('virtualization', plan(), observation);
    expect(result?.hint).toMatch(/nested is off in the level above: options kvm_amd nested=1/);
    const intel = facts({ nestedParameter, virtualization: 'vmx' });
    expect(probe('virtualization', plan(), { ...observation, parent: intel })?.hint).toContain('kvm_intel nested=1');
  });

  test('else the hint is about the CPU that was asked for', () => {
    const observation = seen({ facts: facts(without) });
    const hint = (cpu: LevelPlan['cpu']) => probe('virtualization', plan({ cpu, isHost: true }), observation)?.hint;
    expect(hint({ mode: 'host-passthrough' })).toMatch(/the level above has no vmx or svm/);
    expect(hint({ mode: 'host-model' })).toMatch(/add svm .* or use host-passthrough/);
  });

  test('is unknown without flags', () => {
    const observation = seen({ facts: facts({ flags: null, virtualization: null }) });
    expect(probe('virtualization', plan(), observation)).toMatchObject({ verdict: 'error', hint: null });
  });
});

describe('kvm-device', () => {
  test.each([
    [undefined, true, 'pass'],
    [undefined, false, 'fail'],
    [undefined, null, 'error'],
    [true, true, 'pass'],
    [true, false, 'fail'],
    [true, null, 'error'],
    [false, false, 'pass'],
    [false, true, 'fail'],
    [false, null, 'error'],
  ] as const)('%s is wanted, %s is seen: %s', (want, kvmDevice, verdict) => {
    const expectations = want === undefined ? {} : { 'kvm-device': want };
    const result = probe('kvm-device', plan({ expect: expectations }), seen({ facts: facts({ kvmDevice }) }));
    expect(result?.verdict).toBe(verdict);
    expect(result?.hint ?? '').toMatch(want !== false && kvmDevice === false ? /kvm_amd or kvm_intel loaded/ : /^$/);
  });

  test('follows what is wanted of vmx and svm', () => {
    const none = seen({ facts: facts(without) });
    expect(probe('kvm-device', plan({ expect: { virtualization: false } }), none)?.verdict).toBe('pass');
    expect(probe('kvm-device', plan({ cpu: { mode: 'none' } }), none)).toMatchObject({
      verdict: 'pass',
      expected: null,
    });
  });
});

describe('nested-parameter', () => {
  test.each([
    // wanted, host, seen, verdict
    [undefined, false, null, 'pass'],
    [undefined, false, '0', 'pass'],
    [undefined, true, '1', 'pass'],
    [undefined, true, 'Y', 'pass'],
    [undefined, true, '0', 'fail'],
    [undefined, true, 'N', 'fail'],
    [undefined, true, null, 'fail'],
    [true, false, '1', 'pass'],
    [true, false, 'N', 'fail'],
    [false, false, '0', 'pass'],
    [false, false, '1', 'fail'],
    // no module: nobody can nest, and that is what was wanted
    [false, false, null, 'pass'],
  ] as const)('wanted %s, host %s, %s is seen: %s', (want, isHost, nestedParameter, verdict) => {
    const expectations = want === undefined ? {} : { nested: want };
    const observation = seen({ facts: facts({ nestedParameter }) });
    const result = probe('nested-parameter', plan({ isHost, expect: expectations }), observation);
    expect(result?.verdict).toBe(verdict);
  });

  test('is unknown where a level that needs it could not be looked into', () => {
    const observation = seen({ facts: null });
    expect(probe('nested-parameter', plan({ isHost: true }), observation)?.verdict).toBe('error');
    expect(probe('nested-parameter', plan({ expect: { nested: false } }), observation)?.verdict).toBe('error');
  });

  test('isOff', () => {
    expect(['0', 'N', '1', 'Y', null].map(isOff)).toEqual([true, true, false, false, false]);
  });
});

describe('caches', () => {
  test('are told, and never wrong', () => {
    expect(probe('caches', plan(), seen())).toMatchObject({ verdict: 'pass', observed: 'L1d 64 KiB' });
    const none = seen({ facts: facts({ caches: [] }) });
    expect(probe('caches', plan(), none)).toMatchObject({ verdict: 'pass', observed: 'the guest sees none' });
  });
});

describe('flags', () => {
  const want = (flags: { present?: string[]; absent?: string[] }) => plan({ expect: { flags } });

  test('are judged only when wanted', () => {
    expect(judge(plan(), seen()).map(({ name }) => name)).not.toContain('flags');
  });

  test.each([
    [{ present: ['svm', 'npt'] }, 'pass', 'as expected'],
    [{ absent: ['vmx'] }, 'pass', 'as expected'],
    [{ present: ['svm', 'avx2', 'avx'] }, 'fail', 'missing: avx2 avx'],
    [{ absent: ['svm', 'vmx'] }, 'fail', 'present: svm'],
    [{ present: ['avx'], absent: ['npt'] }, 'fail', 'missing: avx; present: npt'],
  ])('%j: %s', (flags, verdict, observed) => {
    expect(probe('flags', want(flags), seen())).toMatchObject({ verdict, observed });
  });

  test('are unknown where cpuinfo had none', () => {
    const observation = seen({ facts: facts({ flags: null }) });
    expect(probe('flags', want({ absent: ['vmx'] }), observation)?.verdict).toBe('error');
  });
});

describe('model-name', () => {
  const wanted = plan({ expect: { 'model-name': 'EPYC' } });
  test.each([
    ['AMD EPYC 7B13', 'pass'],
    ['QEMU Virtual CPU', 'fail'],
    [null, 'error'],
  ] as const)('%s: %s', (modelName, verdict) => {
    expect(probe('model-name', wanted, seen({ facts: facts({ modelName }) }))?.verdict).toBe(verdict);
  });
});

describe('dmesg', () => {
  const troubles = [
    'Oops: 0000 [#1] SMP NOPTI',
    'BUG: unable to handle page fault for address: 0000',
    'BUG: kernel NULL pointer dereference',
    'Kernel panic - not syncing: Attempted to kill init!',
    'general protection fault, probably for non-canonical address',
    'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!',
    'rcu: INFO: rcu_sched self-detected stall on CPU',
    'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:',
    'KVM: entry failed, hardware error 0xffffffff',
    'kvm: support for nested disabled by bios',
    'kvm_amd: SVM not supported: unsupported something',
    'kvm [812]: vcpu0, guest rIP: 0xffff unhandled rdmsr: 0x1a2',
    'kvm: vcpu 0: requested 128 ns; unhandled wrmsr: 0x198 data 0',
    'XSAVE consistency problem, dumping leaves',
  ];
  test.each(troubles)('trouble: %s', (line) => {
    expect(dmesgTrouble(`[    1.0] fine\n[    2.0] ${line}\n[    3.0] fine`)).toEqual([`[    2.0] ${line}`]);
  });

  test.each([
    'kvm: no hardware support for SVM EPT', // the other vendor's module
    'kvm_amd: Nested Virtualization enabled',
    'kvm_amd: Nested Paging enabled',
    'kvm [931]: vcpu0, guest rIP: 0xffffffff8106b6d4 Unhandled WRMSR(0xc0010007) = 0x0',
    'kvm-guest: PV spinlocks disabled, single CPU',
    'DEBUG: nothing',
    'usb 1-1: device descriptor read/64, error -71',
  ])('noise: %s', (line) => {
    expect(dmesgTrouble(line)).toEqual([]);
  });

  test('is bounded, whatever a guest logs', () => {
    expect(dmesgTrouble('Oops\n'.repeat(100_000))).toHaveLength(20);
    const started = performance.now();
    dmesgTrouble('kvm rcu '.repeat(25_000));
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('trouble is told in any case, and fails where clean was wanted', () => {
    const observation = seen({ dmesg: 'fine\nkvm: entry failed\nfine' });
    expect(probe('dmesg', plan(), observation)).toMatchObject({ verdict: 'pass', observed: 'kvm: entry failed' });
    const clean = plan({ expect: { dmesg: 'clean' } });
    expect(probe('dmesg', clean, observation)).toMatchObject({ verdict: 'fail', observed: 'kvm: entry failed' });
    expect(probe('dmesg', clean, seen())).toMatchObject({ verdict: 'pass', observed: 'clean' });
    expect(probe('dmesg', plan({ expect: { dmesg: 'any' } }), observation)?.verdict).toBe('pass');
  });

  test.each([null, ''])('an empty log (%j) is one that could not be read', (dmesg) => {
    expect(probe('dmesg', plan({ expect: { dmesg: 'clean' } }), seen({ dmesg }))?.verdict).toBe('error');
  });
});

describe('a level that did not come up', () => {
  test.each([
    [true, 'fail', 'fail'],
    [true, 'error', 'error'],
    [false, 'fail', 'skip'],
    [false, 'error', 'skip'],
  ] as const)('required %s, %s: %s', (required, verdict, expected) => {
    const result = judgeAbsence(plan({ required }), verdict, 'L2: no', 'a hint');
    expect(result).toMatchObject({ name: 'boots', verdict: expected, observed: 'L2: no', hint: 'a hint' });
  });
});
