import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CPUID_FLAGS } from '../../src/cpu/cpuid-flags.ts';
import { Facts } from '../../src/cpu/facts.ts';
import { factsFromCpuid, factsFromTree } from '../../src/cpu/facts-from-tree.ts';
import { formatFacts } from '../../src/cpu/format.ts';
import { parseTree } from '../../src/probe/tree.ts';

const TREES = new URL('../fixtures/trees/', import.meta.url);
const NAMES = readdirSync(TREES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const CAPTURED = NAMES.filter((name) => !name.startsWith('made-'));

function read(name: string): ReadonlyMap<string, string> {
  return parseTree(readFileSync(new URL(`${name}/tree.txt`, TREES), 'utf8'));
}

test('there are fixtures', () => {
  expect(CAPTURED.length).toBeGreaterThan(20);
  expect(NAMES.length).toBeGreaterThan(CAPTURED.length);
});

describe.each(NAMES)('the machine %s', (name) => {
  const facts = factsFromTree(read(name));

  test('is read as it was configured', () => {
    const expected = JSON.parse(readFileSync(new URL(`${name}/expected.json`, TREES), 'utf8'));
    const { flags, vulnerabilities, ...others } = facts;
    const { flags: expectedFlags, vulnerabilities: expectedVulnerabilities, ...expectedOthers } = expected;
    expect(others).toEqual(expectedOthers);
    expect(vulnerabilities).toMatchObject(expectedVulnerabilities);
    if (expectedFlags === null) expect(flags).toBeNull();
    else {
      expect(flags).toEqual(expect.arrayContaining(expectedFlags.some));
      for (const flag of expectedFlags.not) expect(flags).not.toContain(flag);
    }
  });

  test('has facts that fit the schema', () => {
    expect(Facts.parse(facts)).toEqual(facts);
  });

  test('has sorted flags, each once', () => {
    if (facts.flags !== null) expect(facts.flags).toEqual([...new Set(facts.flags)].sort());
  });
});

// What Linux 6.1 and 6.18 make of features that CPUID doesn't show, and what they take away.
const MADE_BY_LINUX = ['3dnowprefetch', 'ssbd', 'constant_tsc', 'cpb'];
const TAKEN_BY_LINUX = ['xsaves', 'rdseed'];

describe.each(CAPTURED)('the raw CPUID of %s', (name) => {
  const tree = read(name);
  const seen = factsFromTree(tree);
  const raw = factsFromCpuid(tree.get('cpuid') ?? '');

  test('fits the schema', () => {
    expect(Facts.parse(raw)).toEqual(raw);
  });

  test('agrees with Linux on who the CPU is', () => {
    for (const key of ['vendor', 'modelName', 'family', 'model', 'stepping', 'hypervisor', 'virtualization'] as const) {
      expect([key, raw[key]]).toEqual([key, seen[key]]);
    }
  });

  test('agrees with Linux on the flags', () => {
    const missing = seen.flags?.filter((flag) => CPUID_FLAGS.has(flag) && !raw.flags?.includes(flag)) ?? [];
    const extra = raw.flags?.filter((flag) => !seen.flags?.includes(flag)) ?? [];
    expect(missing.filter((flag) => !MADE_BY_LINUX.includes(flag))).toEqual([]);
    expect(extra.filter((flag) => !TAKEN_BY_LINUX.includes(flag))).toEqual([]);
  });

  test('agrees with Linux on the caches that one CPU sees', () => {
    const shape = (facts: Facts): unknown[] =>
      facts.caches.map(({ level, type, sizeBytes, ways }) => ({ level, type, sizeBytes, ways }));
    expect(raw.caches.length).toBeGreaterThan(2);
    expect(shape(raw)).toEqual(shape(seen));
    expect(raw.caches.every((cache) => cache.instances === null && cache.sharedCpuList === null)).toBe(true);
  });
});

describe('factsFromTree', () => {
  test('takes from CPUID what the kernel does not say', () => {
    const cpuid = read('epyc').get('cpuid') ?? '';
    const facts = factsFromTree(new Map([['cpuid', cpuid]]));
    expect(facts).toMatchObject({ vendor: 'AuthenticAMD', family: 23, hypervisor: 'TCG', virtualization: 'svm' });
    expect(facts.caches.map(({ sizeBytes }) => sizeBytes)).toEqual([32768, 65536, 524288, 8388608]);
    expect(facts.topology.cpus).toBeNull();
  });

  test('believes lscpu only on x86 with the hypervisor bit', () => {
    const guest = (flags: string): string | null =>
      factsFromTree(
        new Map([
          ['proc/cpuinfo', `processor: 0\nflags: ${flags}`],
          ['lscpu-hypervisor', ' VMware'],
        ]),
      ).hypervisor;
    expect(guest('fpu hypervisor')).toBe('VMware');
    expect(guest('fpu')).toBeNull();
  });

  test('takes nested from the module that fits the CPU', () => {
    const tree = (flag: string): Map<string, string> =>
      new Map([
        ['proc/cpuinfo', `processor: 0\nflags: ${flag}`],
        ['sys/module/kvm_intel/parameters/nested', 'Y'],
        ['sys/module/kvm_amd/parameters/nested', '0'],
      ]);
    expect(factsFromTree(tree('vmx')).nestedParameter).toBe('Y');
    expect(factsFromTree(tree('svm')).nestedParameter).toBe('0');
  });

  test.each([
    ['open', true],
    ['denied', false],
    ['absent', false],
    ['nonsense', null],
  ])('reads dev/kvm %s', (state, expected) => {
    expect(factsFromTree(new Map([['dev/kvm', state]])).kvmDevice).toBe(expected);
  });

  test('takes no vulnerability that is named like a part of JavaScript', () => {
    const tree = new Map([['sys/devices/system/cpu/vulnerabilities/__proto__', 'x']]);
    expect(Object.keys(factsFromTree(tree).vulnerabilities)).toEqual([]);
  });
});

describe('whatever a machine says', () => {
  const number = fc.oneof(
    fc.constantFrom(
      '0',
      '1',
      '-1',
      '',
      '99999999999999999999',
      '0-3',
      '0-99999',
      '3-1',
      '0,0',
      'ffffffff,ffffffff',
      'x',
    ),
    fc.nat().map(String),
    fc.string(),
  );
  const cpu = fc.constantFrom('cpu0', 'cpu1', 'cpu16383', 'cpu99999', 'cpu');
  const leaf = fc.constantFrom(
    'online',
    'topology/core_cpus_list',
    'topology/thread_siblings',
    'topology/package_cpus_list',
    'topology/physical_package_id',
    'topology/die_id',
    ...['level', 'size', 'ways_of_associativity', 'shared_cpu_list', 'shared_cpu_map'].map((f) => `cache/index0/${f}`),
  );
  const path = fc.oneof(
    fc.tuple(cpu, leaf).map(([folder, file]) => `sys/devices/system/cpu/${folder}/${file}`),
    fc.constantFrom(
      'sys/devices/system/cpu/online',
      'dev/kvm',
      'lscpu-hypervisor',
      'sys/module/kvm_amd/parameters/nested',
    ),
    fc.string().map((name) => `sys/devices/system/cpu/vulnerabilities/${name}`),
  );
  const size = fc.constantFrom('32K', '999999999G', '0K', '1M');
  const line = fc.oneof(
    fc
      .tuple(
        fc.constantFrom(
          'processor',
          'cpu family',
          'flags',
          'Features',
          'physical id',
          'siblings',
          'cpu cores',
          'cache0',
        ),
        number,
      )
      .map(([key, value]) => `${key}\t: ${value}`),
    fc.string(),
  );

  test('facts fit the schema, and can be shown', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(path, fc.oneof(number, size))),
        fc.array(line),
        fc.array(cpu),
        (files, cpuinfo, cpusWithCache) => {
          const tree = new Map([...files, ['proc/cpuinfo', cpuinfo.join('\n')] as const]);
          for (const name of cpusWithCache) {
            tree.set(`sys/devices/system/cpu/${name}/cache/index0/level`, '1');
            tree.set(`sys/devices/system/cpu/${name}/cache/index0/type`, 'Data');
          }
          const facts = factsFromTree(tree);
          expect(Facts.parse(facts)).toEqual(facts);
          for (const shown of formatFacts(facts)) expect(shown).not.toMatch(/\p{Cc}/u);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a damaged capture does no harm', () => {
    const text = readFileSync(new URL('epyc/tree.txt', TREES), 'utf8');
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(500), fc.string(), (start, length, inserted) => {
        const facts = factsFromTree(parseTree(text.slice(0, start) + inserted + text.slice(start + length)));
        expect(Facts.parse(facts)).toEqual(facts);
      }),
    );
  });

  test('overlapping lists of very many CPUs take no long time', () => {
    const tree = new Map<string, string>();
    for (let number = 0; number < 5000; number++) {
      const folder = `sys/devices/system/cpu/cpu${number}`;
      tree.set(`${folder}/topology/core_cpus_list`, `0-16382,${number}`);
      tree.set(`${folder}/cache/index0/level`, '1');
      tree.set(`${folder}/cache/index0/type`, 'Data');
      tree.set(`${folder}/cache/index0/shared_cpu_list`, `0-16382,${number}`);
    }
    tree.set('sys/devices/system/cpu/online', '0-16383');
    const started = performance.now();
    const facts = factsFromTree(tree);
    expect(performance.now() - started).toBeLessThan(3000);
    expect(facts.topology.cores).toBeNull();
  });
});
