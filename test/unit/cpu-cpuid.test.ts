import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bits, cpuidCaches, cpuidHypervisor, cpuidIdentity, parseCpuid } from '../../src/cpu/cpuid.ts';
import { cpuidFlags } from '../../src/cpu/cpuid-flags.ts';
import { Facts } from '../../src/cpu/facts.ts';
import { factsFromCpuid } from '../../src/cpu/facts-from-tree.ts';

type Leaf = readonly [number, number, number, number, number, number?];

function dump(...leaves: Leaf[]): string {
  const hex = (number: number): string => `0x${(number >>> 0).toString(16).padStart(8, '0')}`;
  const lines = leaves.map(
    ([leaf, a, b, c, d, subleaf = 0]) =>
      `   ${hex(leaf)} 0x${subleaf.toString(16).padStart(2, '0')}: eax=${hex(a)} ebx=${hex(b)} ecx=${hex(c)} edx=${hex(d)}`,
  );
  return ['CPU:', ...lines, ''].join('\n');
}

function first(text: string): ReturnType<typeof parseCpuid>['cpus'][number] {
  return parseCpuid(text).cpus[0] ?? new Map();
}

/** Twelve characters as three registers. */
function words(text: string): [number, number, number] {
  const word = (start: number): number =>
    [3, 2, 1, 0].reduce((sum, index) => sum * 256 + (text.charCodeAt(start + index) || 0), 0);
  return [word(0), word(4), word(8)];
}

describe('raw CPUID', () => {
  test('registers are unsigned', () => {
    expect(bits(0xffffffff, 31, 0)).toBe(0xffffffff);
    expect(bits(0x80000000, 31, 31)).toBe(1);
    expect(bits(0xabcd1234, 15, 8)).toBe(0x12);
  });

  test.each([
    ['Zen 5', 0x00b00f21, { family: 26, model: 2, stepping: 1 }],
    ['Skylake server', 0x00050654, { family: 6, model: 85, stepping: 4 }],
    ['Pentium', 0x00000543, { family: 5, model: 4, stepping: 3 }],
    ['Prescott', 0x00000f41, { family: 15, model: 4, stepping: 1 }],
  ])('%s by its version', (_, version, expected) => {
    expect(cpuidIdentity(first(dump([1, version, 0, 0, 0])))).toMatchObject(expected);
  });

  const HYPERVISOR_BIT: Leaf = [1, 0x600, 0, 0x80000000, 0];
  test.each([
    ['KVMKVMKVM', 'KVM'],
    ['Linux KVM Hv', 'KVM'],
    ['TCGTCGTCGTCG', 'TCG'],
    ['Microsoft Hv', 'Hyper-V'],
    ['VMwareVMware', 'VMware'],
    ['XenVMMXenVMM', 'Xen'],
    ['bhyve bhyve ', 'bhyve'],
    [' lrpepyh  vr', 'Parallels'],
    ['Jailhouse\0\0\0', 'Jailhouse'],
    ['NobodyKnowsI', 'NobodyKnowsI'],
  ])('signature %j', (signature, expected) => {
    const leaves = first(dump(HYPERVISOR_BIT, [0x40000000, 0, ...words(signature)]));
    expect(cpuidHypervisor(leaves)).toBe(expected);
  });

  test('KVM that plays Hyper-V is KVM', () => {
    const text = dump(
      HYPERVISOR_BIT,
      [0x40000000, 0, ...words('Microsoft Hv')],
      [0x40000100, 0, ...words('KVMKVMKVM')],
    );
    expect(cpuidHypervisor(first(text))).toBe('KVM');
  });

  test('without the hypervisor bit there is none, whatever 0x40000000 answers', () => {
    expect(cpuidHypervisor(first(dump([1, 0, 0, 0, 0], [0x40000000, 0, ...words('KVMKVMKVM')])))).toBeNull();
  });

  test('caches of a real Intel CPU (leaf 4)', () => {
    const [ebx, edx, ecx] = words('GenuineIntel');
    const text = dump(
      [0, 0x16, ebx, ecx, edx],
      [4, 0x1c004121, 0x01c0003f, 0x3f, 0, 0],
      [4, 0x1c004122, 0x01c0003f, 0x3f, 0, 1],
      [4, 0x1c004143, 0x03c0003f, 0x3ff, 0, 2],
      [4, 0x1c03c163, 0x0280003f, 0x7fff, 4, 3],
      [4, 0, 0, 0, 0, 4],
    );
    expect(cpuidCaches(first(text)).map(({ level, type, sizeBytes, ways }) => [level, type, sizeBytes, ways])).toEqual([
      [1, 'Data', 32 * 1024, 8],
      [1, 'Instruction', 32 * 1024, 8],
      [2, 'Unified', 1024 * 1024, 16],
      [3, 'Unified', 22 * 1024 * 1024, 11],
    ]);
  });

  test('caches of an AMD CPU without topoext (leaves 0x80000005 and 0x80000006)', () => {
    const [ebx, edx, ecx] = words('AuthenticAMD');
    const text = dump(
      [0, 1, ebx, ecx, edx],
      [0x80000005, 0, 0, 0x40020140, 0x20ff0140],
      [0x80000006, 0, 0, 0x02006140, 0x00009140],
    );
    expect(cpuidCaches(first(text)).map(({ level, type, sizeBytes, ways }) => [level, type, sizeBytes, ways])).toEqual([
      [1, 'Data', 64 * 1024, 2],
      [1, 'Instruction', 32 * 1024, null],
      [2, 'Unified', 512 * 1024, 8],
    ]);
  });

  test.each([
    [1, 0, 'edx', 3, 'pse'],
    [1, 0, 'edx', 4, 'tsc'],
    [1, 0, 'edx', 31, 'pbe'],
    [1, 0, 'ecx', 5, 'vmx'],
    [1, 0, 'ecx', 31, 'hypervisor'],
    [6, 0, 'eax', 11, 'hwp_pkg_req'],
    [7, 0, 'ebx', 11, 'rtm'],
    [7, 0, 'ebx', 31, 'avx512vl'],
    [7, 0, 'ecx', 16, 'la57'],
    [7, 0, 'ecx', 30, 'sgx_lc'],
    [7, 0, 'edx', 10, 'md_clear'],
    [7, 0, 'edx', 29, 'arch_capabilities'],
    [7, 1, 'eax', 26, 'lam'],
    [0xd, 1, 'eax', 3, 'xsaves'],
    [0x80000001, 0, 'edx', 20, 'nx'],
    [0x80000001, 0, 'edx', 31, '3dnow'],
    [0x80000001, 0, 'ecx', 2, 'svm'],
    [0x80000001, 0, 'ecx', 29, 'mwaitx'],
    [0x80000007, 0, 'ebx', 3, 'smca'],
    [0x80000007, 0, 'edx', 12, 'acc_power'],
    [0x80000008, 0, 'ebx', 25, 'virt_ssbd'],
    [0x80000008, 0, 'ebx', 31, 'brs'],
    [0x8000000a, 0, 'edx', 0, 'npt'],
    [0x8000000a, 0, 'edx', 16, 'vgif'],
    [0x8000000a, 0, 'edx', 25, 'vnmi'],
  ] as const)('leaf %i/%i %s bit %i is %s', (number, subleaf, register, bit, flag) => {
    const value = (name: string): number => (name === register ? 2 ** bit : 0);
    const registers = [value('eax'), value('ebx'), value('ecx'), value('edx')] as const;
    const others: Leaf[] = number === 1 ? [] : [[1, 0, 0, 0, 0]];
    expect(cpuidFlags(first(dump(...others, [number, ...registers, subleaf])))).toEqual([flag]);
  });

  test('bits of speculation control are shown as Linux shows them', () => {
    const flags = cpuidFlags(first(dump([1, 0, 0, 0, 0], [7, 0, 0, 0, (1 << 26) | (1 << 31)])));
    expect(flags).toEqual(['ibpb', 'ibrs', 'ssbd']);
  });

  test('no leaf 1, no flags', () => {
    expect(cpuidFlags(first(dump([0, 0, 0, 0, 0])))).toBeNull();
  });

  test('a dump of all CPUs tells how many there are', () => {
    const one = dump([0, 1, 2, 3, 4]).slice('CPU:\n'.length);
    expect(factsFromCpuid(`CPU 0:\n${one}CPU 1:\n${one}`).topology.cpus).toBe(2);
    expect(factsFromCpuid(`CPU:\n${one}`).topology.cpus).toBeNull();
  });

  test('the first stray line is remembered', () => {
    expect(parseCpuid(`${dump([0, 1, 2, 3, 4])}\nhello\nworld`).stray).toEqual({ line: 4, text: 'hello' });
    expect(parseCpuid(dump([0, 1, 2, 3, 4])).stray).toBeNull();
  });

  test('any registers and any text make facts that fit the schema', () => {
    const register = fc.integer({ min: 0, max: 0xffffffff });
    const number = fc.oneof(
      register,
      fc.constantFrom(0, 1, 4, 7, 0xb, 0x40000000, 0x80000001, 0x80000005, 0x80000006, 0x8000001d),
    );
    const leaf = fc.tuple(number, register, register, register, register, fc.nat(5));
    const vendor = fc.constantFrom('GenuineIntel', 'AuthenticAMD', 'HygonGenuine', '            ');
    fc.assert(
      fc.property(fc.array(leaf), vendor, fc.string(), (leaves, name, noise) => {
        const [ebx, edx, ecx] = words(name);
        const facts = factsFromCpuid(`${dump([0, 0, ebx, ecx, edx], ...leaves)}${noise}`);
        expect(Facts.parse(facts)).toEqual(facts);
      }),
    );
  });
});
