// Domain XML, held against libvirt itself: its test driver checks a definition without a daemon, KVM or root.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { dirSync } from 'tmp';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { CpuRequest } from '../../src/cpu/request.ts';
import {
  cpuXml,
  type DomainInput,
  domainXml,
  kernelCommandLine,
  readLease,
  TAG_NAMESPACE,
} from '../../src/domain/domain-xml.ts';
import type { LevelPlan } from '../../src/scenario/plan.ts';

// Programs are started here, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 });

let folder: string;
beforeAll(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterAll(() => rmSync(folder, { recursive: true }));

const plan = (over: Partial<LevelPlan> = {}): LevelPlan => ({
  level: 1,
  cpu: { mode: 'host-passthrough' },
  vcpus: 1,
  memoryMiB: 320,
  machine: 'q35',
  isHost: false,
  required: true,
  expect: {},
  ...over,
});
const input = (over: Partial<DomainInput> = {}): DomainInput => ({
  name: 'nested-check-a1b2-quick-L1',
  accelerator: 'kvm',
  plan: plan(),
  lease: { run: 'a1b2', case: 'quick', level: 1, pid: 4321, startTime: '987654' },
  kernel: '/boot/vmlinuz',
  initramfs: '/boot/initramfs.img',
  root: '/dev/vda',
  rootType: 'block',
  kernelWords: [],
  console: '/run/nested-check/a.console',
  ...over,
});

/** Runs commands of virsh on libvirt's test driver; throws with libvirt's words. */
function virsh(commands: string): string {
  return execFileSync('virsh', ['-q', '-c', 'test:///default', commands], { encoding: 'utf8', stdio: 'pipe' });
}

/** What libvirt makes of some XML. */
function define(xml: string, how = '--validate'): string {
  const file = join(folder, 'domain.xml');
  writeFileSync(file, xml);
  const name = /<name>(.*)<\/name>/.exec(xml)?.[1] ?? '';
  return virsh(`define ${how} ${file}; dumpxml ${name}`);
}

const topology = { sockets: 1, dies: 1, cores: 2, threads: 2 };
const cpus: Record<string, CpuRequest> = {
  none: { mode: 'none' },
  'host-passthrough': { mode: 'host-passthrough' },
  'host-passthrough, not migratable': { mode: 'host-passthrough', migratable: false, check: 'none' },
  'host-passthrough, all of it': {
    mode: 'host-passthrough',
    migratable: true,
    features: { svm: 'require', 'x2apic-': 'disable' },
    cache: { mode: 'passthrough' },
    topology,
  },
  'host-model': { mode: 'host-model' },
  'host-model, all of it': {
    mode: 'host-model',
    fallback: 'forbid',
    check: 'partial',
    features: { vmx: 'optional', invtsc: 'forbid' },
    topology: { sockets: 2, cores: 2, threads: 1 },
  },
  maximum: { mode: 'maximum' },
  'maximum, migratable': { mode: 'maximum', migratable: true },
  'a named model': { mode: 'custom', model: 'EPYC' },
  'a named model, all of it': {
    mode: 'custom',
    model: 'EPYC-Rome',
    fallback: 'allow',
    vendor: 'AMD',
    match: 'exact',
    check: 'full',
    features: { svm: 'require', npt: 'force', vmx: 'forbid', xsaves: 'disable', avx2: 'optional' },
    cache: { mode: 'emulate', level: 3 },
    topology: { sockets: 2, dies: 2, cores: 3, threads: 2 },
  },
};

describe('libvirt accepts', () => {
  test.each(Object.entries(cpus))('%s', (_, cpu) => {
    const { topology } = cpu;
    const vcpus =
      topology === undefined ? 1 : topology.sockets * (topology.dies ?? 1) * topology.cores * topology.threads;
    const made = define(domainXml(input({ plan: plan({ cpu, vcpus }) })));
    expect(made).toContain(`<vcpu placement='static'>${vcpus}</vcpu>`);
    // libvirt keeps every word that was asked for
    for (const [name, policy] of Object.entries(cpu.features ?? {})) {
      expect(made).toContain(`<feature policy='${policy}' name='${name}'/>`);
    }
    if (cpu.mode !== 'none') expect(made).toContain(`<cpu mode='${cpu.mode}'`);
    if (cpu.model !== undefined) expect(made).toMatch(new RegExp(`<model.*>${cpu.model}</model>`));
    if (cpu.cache !== undefined) expect(made).toMatch(new RegExp(`<cache .*mode='${cpu.cache.mode}'`));
    if (topology !== undefined) expect(made).toContain(`cores='${topology.cores}' threads='${topology.threads}'`);
  });

  test.each(['disable', 'emulate', 'passthrough'] as const)('cache mode %s', (mode) => {
    define(domainXml(input({ plan: plan({ cpu: { mode: 'host-passthrough', cache: { mode } } }) })));
  });

  test.each(['force', 'require', 'optional', 'disable', 'forbid'] as const)('feature policy %s', (policy) => {
    define(domainXml(input({ plan: plan({ cpu: { mode: 'host-model', features: { svm: policy } } }) })));
  });

  test.each(['q35', 'pc', 'pc-q35-7.2', 'pc-i440fx-6.0'])('machine %s', (machine) => {
    const made = define(domainXml(input({ plan: plan({ machine }) })));
    expect(made).toContain(` machine='${machine}'>hvm</type>`);
  });

  test.each(['kvm', 'qemu'] as const)('accelerator %s', (accelerator) => {
    const cpu: CpuRequest = { mode: 'maximum' };
    expect(define(domainXml(input({ accelerator, plan: plan({ cpu }) })))).toContain(`<domain type='${accelerator}'`);
  });

  test.each([
    ['file', '/var/lib/images/root.erofs', 'file'],
    ['block', '/dev/vda', 'dev'],
  ] as const)('a %s as root, and never writes to it', (rootType, root, attribute) => {
    const made = define(domainXml(input({ rootType, root })));
    const disk = /<disk [\s\S]*?<\/disk>/.exec(made)?.[0];
    expect(disk).toMatch(new RegExp(`^<disk type='${rootType}' device='disk'>`));
    expect(disk).toContain(`<source ${attribute}='${root}'/>`);
    expect(disk).toContain('<readonly/>');
  });

  test('kernel words', () => {
    const kernelWords = ['nested_check.hello=1', 'dyndbg="file kvm* +p"', 'a<b&c'];
    const made = define(domainXml(input({ kernelWords, plan: plan({ isHost: true }) })));
    const cmdline = /<cmdline>(.*)<\/cmdline>/.exec(made)?.[1];
    expect(cmdline).toMatch(/^console=ttyS0 .*nested_check\.host nested_check\.hello=1 .*a&lt;b&amp;c$/);
  });

  test('a guest ends for good, whatever ends it', () => {
    const made = define(domainXml(input()));
    for (const event of ['poweroff', 'reboot', 'crash']) expect(made).toContain(`<on_${event}>destroy</on_${event}>`);
  });
});

test('mode none writes nothing, another mode alone is one element', () => {
  expect(cpuXml({ mode: 'none' })).toBe('');
  expect(cpuXml({ mode: 'host-model' })).toBe("  <cpu mode='host-model'/>\n");
});

test('only a level with guests is told to be a host', () => {
  expect(kernelCommandLine(false, ['x'])).toMatch(/ x$/);
  expect(kernelCommandLine(false, [])).not.toContain('nested_check.host');
  expect(kernelCommandLine(true, [])).toMatch(/ nested_check\.host$/);
});

describe('strings that are not for XML', () => {
  const hostile = fc.array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('<', '>', '&', "'", '"', ']]>', '<!--', '&amp;', '\0', '\u001b', '\ud800', '\ufffe', '</name>'),
    ),
  );
  const text = hostile.map((pieces) => pieces.join(''));
  const inputs = fc
    .record({
      name: text,
      root: text,
      kernel: text,
      initramfs: text,
      console: text,
      word: text,
      run: text,
      model: text,
    })
    .map(({ word, run, model, ...paths }) =>
      input({
        ...paths,
        kernelWords: [word],
        lease: { run, case: run, level: 1, pid: 1, startTime: run },
        plan: plan({ machine: word, cpu: { mode: 'custom', model, features: { [word]: 'require' } } }),
      }),
    );

  test('always give well-formed XML, and come back as they were', () => {
    const parser = new XMLParser({ ignoreAttributes: false, trimValues: false, parseTagValue: false });
    fc.assert(
      fc.property(inputs, (each) => {
        const xml = domainXml(each);
        expect(XMLValidator.validate(xml)).toBe(true);
        // XML 1.0 can't hold these
        expect(xml).toMatch(/^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u);
        const back = parser.parse(xml).domain;
        const kept = (said: string) =>
          said.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
        // for a line end XML knows only \n
        const lineEnds = (said: string) => said.replace(/\r\n?/g, '\n');
        expect(lineEnds(back.name)).toBe(lineEnds(kept(each.name)));
        // nothing broke out of its place
        expect(
          Object.keys(back)
            .filter((key) => key !== '#text')
            .sort(),
        ).toEqual([
          ...['@_type', 'cpu', 'devices', 'features', 'memory', 'metadata', 'name'],
          ...['on_crash', 'on_poweroff', 'on_reboot', 'os', 'vcpu'],
        ]);
      }),
    );
  });

  test('libvirt reads them too', () => {
    fc.assert(
      fc.property(inputs, (each) => {
        let words = '';
        try {
          const file = join(folder, 'hostile.xml');
          writeFileSync(file, domainXml(each));
          virsh(`define ${file}`);
        } catch (error) {
          words = (error as { stderr: string }).stderr;
        }
        // It may refuse a name with a slash. Where it can't read XML, it says the line.
        expect(words).not.toMatch(/\(domain_definition\):\d+/);
      }),
      { numRuns: 25 },
    );
  });

  test.each([
    ['quotes and brackets', `/run/a'b"c<d>&e`],
    ['blanks at the ends', '/run/a  b '],
    ['a tab and a line end', '/run/a\tb\nc'],
  ])('a path with %s reaches libvirt as it is', (_, console) => {
    const made = define(domainXml(input({ console })), '');
    const path = /<serial type='file'>\s*<source path=(?:'([^']*)'|"([^"]*)")/.exec(made)?.slice(1).join('') ?? '';
    const characters: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
    const plain = path
      .replace(/&#(x?)([0-9a-f]+);/gi, (_, hex, digits) => String.fromCharCode(Number.parseInt(digits, hex ? 16 : 10)))
      .replace(/&(\w+);/g, (_, name) => characters[name] ?? '?');
    expect(plain).toBe(console);
  });
});

describe('the lease in a domain', () => {
  const lease = { pid: 4321, startTime: '987654' };

  test('is read back from what we write and from what libvirt prints', () => {
    const xml = domainXml(input());
    expect(readLease(xml)).toEqual(lease);
    expect(readLease(define(xml))).toEqual(lease);
  });

  test('is read with a prefix, and with the other quotes', () => {
    expect(readLease(`<nc:lease xmlns:nc="${TAG_NAMESPACE}" run="x" pid="4321" started="987654"/>`)).toEqual(lease);
  });

  test.each([
    ['a domain that only has a name like ours', '<domain><name>nested-check-a1b2-quick-L1</name></domain>'],
    ['a lease of somebody else', `<lease xmlns='https://example.org/lease' pid='1' started='2'/>`],
    ['a namespace that only begins like ours', `<lease xmlns='${TAG_NAMESPACE}0' pid='1' started='2'/>`],
    ['our namespace on another element', `<release xmlns='${TAG_NAMESPACE}' pid='1' started='2'/>`],
    [
      'our words in a description',
      `<description>&lt;lease xmlns='${TAG_NAMESPACE}' pid='1' started='2'/></description>`,
    ],
    ['no pid', `<lease xmlns='${TAG_NAMESPACE}' started='2'/>`],
    ['no start time', `<lease xmlns='${TAG_NAMESPACE}' pid='1'/>`],
    ['a pid that is no number', `<lease xmlns='${TAG_NAMESPACE}' pid='1x' started='2'/>`],
    ['numbers on another element', `<lease xmlns='${TAG_NAMESPACE}'/><other pid='1' started='2'/>`],
    ['nothing', ''],
  ])('%s has none', (_, xml) => {
    expect(readLease(xml)).toBeNull();
  });
});
