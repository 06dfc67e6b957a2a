import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Facts } from '../../src/cpu/facts.ts';
import { factsFromTree } from '../../src/cpu/facts-from-tree.ts';
import { formatBytes, formatCaches, formatFacts, formatTopology, formatVirtualization } from '../../src/cpu/format.ts';
import { parseTree } from '../../src/probe/tree.ts';

function fixture(name: string): Facts {
  return factsFromTree(parseTree(readFileSync(new URL(`../fixtures/trees/${name}/tree.txt`, import.meta.url), 'utf8')));
}

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [65_536, '64 KiB'],
  [1_310_720, '1.25 MiB'],
  [402_653_184, '384 MiB'],
  [2 ** 50, '1024 TiB'],
])('%d bytes', (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});

describe('formatCaches', () => {
  test('counts only what there is more than one of', () => {
    expect(formatCaches(fixture('qemu64'))).toBe('L1d 64 KiB, L1i 64 KiB, L2 512 KiB, L3 16 MiB');
    expect(formatCaches(fixture('skylake-server'))).toBe('L1d 32 KiB ×8, L1i 32 KiB ×8, L2 4 MiB ×4, L3 16 MiB ×2');
    expect(formatCaches(fixture('epyc-no-l3'))).toBe('L1d 32 KiB ×2, L1i 64 KiB ×2, L2 512 KiB ×2');
  });

  test('says so when nothing is known', () => {
    expect(formatCaches({ caches: [] })).toBe('none seen');
    const unknown = {
      level: 2,
      type: 'Unified',
      sizeBytes: null,
      ways: null,
      instances: null,
      sharedCpuList: null,
    } as const;
    expect(formatCaches({ caches: [unknown] })).toBe('L2 ?');
  });
});

test('topology leaves out what is not known', () => {
  expect(formatTopology(fixture('epyc-smt'))).toBe('2 sockets, 2 dies, 4 cores, 2 threads per core, 8 CPUs online');
  expect(formatTopology(fixture('made-riscv64'))).toBe('1 CPU online');
  expect(formatTopology(fixture('made-empty'))).toBe('unknown');
});

test('virtualization', () => {
  expect(formatVirtualization(fixture('epyc'))).toBe('svm, /dev/kvm opens, nested=1');
  expect(formatVirtualization(fixture('conroe'))).toBe('neither vmx nor svm, /dev/kvm does not open');
  expect(formatVirtualization(fixture('made-empty'))).toBe('neither vmx nor svm');
});

test('a whole machine', () => {
  expect(formatFacts(fixture('made-hybrid'))).toEqual([
    'CPU              Made-up Hybrid',
    'Vendor           GenuineIntel',
    'Version          family 6, model 151, stepping 2',
    'Hypervisor       Hyper-V',
    'Virtualization   vmx, nested=Y',
    'Topology         1 socket, 1 die, 3 cores, 2 threads per core, 4 CPUs online',
    'Caches           L1d 48 KiB, L1d 32 KiB ×2, L2 1.25 MiB, L2 2 MiB, L3 30 MiB',
    'Flags            fpu hypervisor sse sse2 vmx',
    'Mitigations      retbleed: Mitigation: Enhanced IBRS',
  ]);
});

test('lines stay within 120 columns where words allow it', () => {
  for (const line of formatFacts(fixture('zen5-cloud-guest'))) {
    if (!/^(Mitigations| {17}\w+: )/.test(line)) expect(line.length).toBeLessThanOrEqual(120);
  }
});

test('what a machine says of itself can do no harm to a terminal', () => {
  const evil = '\u001b[31mred\u001b]0;title\u0007\nline';
  const facts: Facts = {
    ...fixture('made-empty'),
    vendor: evil,
    modelName: evil,
    microcode: evil,
    hypervisor: evil,
    nestedParameter: evil,
    flags: [evil],
    vulnerabilities: { [evil]: evil, other: evil.repeat(1000) },
  };
  for (const line of formatFacts(facts)) {
    expect(line).not.toMatch(/\p{Cc}/u);
    expect(line.length).toBeLessThan(300);
  }
});
