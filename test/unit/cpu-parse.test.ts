import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fillCaches, parseSize } from '../../src/cpu/caches.ts';
import { formatCpuList, parseCpuList, parseCpuMask } from '../../src/cpu/cpu-list.ts';
import { parseCpuinfo } from '../../src/cpu/cpuinfo.ts';

describe('CPU lists and masks', () => {
  test.each([
    ['0', [0]],
    ['0-3,8', [0, 1, 2, 3, 8]],
    ['', []],
    ['\n', []],
    ['3,1,1-2', [1, 2, 3]],
    ['3-1', null],
    ['0-99999', null],
    ['-1', null],
    ['a', null],
    ['0,,1', null],
  ])('list %j', (text, expected) => {
    expect(parseCpuList(text)).toEqual(expected);
  });

  test.each([
    ['1', [0]],
    ['f', [0, 1, 2, 3]],
    ['00000001,80000000', [31, 32]],
    ['0', []],
    ['g', null],
    ['', null],
  ])('mask %j', (text, expected) => {
    expect(parseCpuMask(text)).toEqual(expected);
  });

  test('a list that was written reads back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(16_383)), (cpus) => {
        const sorted = cpus.toSorted((a, b) => a - b);
        expect(parseCpuList(formatCpuList(sorted))).toEqual(sorted);
      }),
    );
    expect(formatCpuList([0, 1, 2, 5, 7, 8])).toBe('0-2,5,7-8');
  });
});

describe('sizes', () => {
  test.each([
    ['32K', 32_768],
    ['16384K', 16_777_216],
    ['1M', 1_048_576],
    ['8 MB', 8_388_608],
    ['64 KB\n', 65_536],
    ['512', 512],
    ['0K', null],
    ['', null],
    ['K', null],
    ['1.5M', null],
    ['-1K', null],
    ['999999999G', null],
    [undefined, null],
  ])('%j', (text, expected) => {
    expect(parseSize(text)).toBe(expected);
  });
});

test('caches are filled, not replaced', () => {
  const open = { level: 1, type: 'Data', sizeBytes: null, ways: 2, instances: 4, sharedCpuList: '0' } as const;
  const told = { level: 1, type: 'Data', sizeBytes: 32768, ways: 8, instances: null, sharedCpuList: null } as const;
  expect(fillCaches([open], [told])).toEqual([{ ...open, sizeBytes: 32768 }]);
  expect(fillCaches([], [told])).toEqual([told]);
  // Of two unlike caches the dump of one CPU tells nothing.
  expect(fillCaches([open, { ...open, ways: 4 }], [told])).toEqual([open, { ...open, ways: 4 }]);
});

describe('/proc/cpuinfo', () => {
  test('a CPU without family and flags', () => {
    expect(parseCpuinfo('processor : 0\nmodel name : x')).toMatchObject({
      cpus: 1,
      modelName: 'x',
      flags: null,
      family: null,
    });
  });

  test('stray lines after the CPUs belong to none', () => {
    const text = 'processor : 0\ncpu : POWER9\n\nprocessor : 1\ncpu : POWER9\n\nmodel : 8335-GTH\n';
    expect(parseCpuinfo(text)).toMatchObject({ cpus: 2, model: null, modelName: 'POWER9' });
  });

  test('old Arm kernels name the processor first', () => {
    const text =
      'Processor\t: ARMv7 Processor rev 4\nprocessor\t: 0\n\nprocessor\t: 1\n\nFeatures\t: swp vfp\nCPU implementer\t: 0x41\n';
    expect(parseCpuinfo(text)).toMatchObject({ cpus: 2, vendor: 'ARM', flags: ['swp', 'vfp'] });
  });

  test('any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseCpuinfo(text);
      }),
    );
  });
});
