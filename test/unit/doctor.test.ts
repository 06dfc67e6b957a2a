import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Diagnosis, mendOf, missingPackages, renderDiagnoses } from '../../src/commands/doctor.ts';
import type { Environment } from '../../src/environment.ts';
import { type Family, installCommands, parseOsRelease } from '../../src/host/distribution.ts';
import { isAtLeast, judgeMemory } from '../../src/host/requirement-checks.ts';
import { requirements } from '../../src/host/requirements.ts';

const UNKNOWN = { name: 'Plan 9', family: null };
const packagesFix = { kind: 'packages', packages: { debian: ['b', 'a'] }, elsewhere: 'https://example.org' } as const;

function diagnosis(changes: Partial<Diagnosis>): Diagnosis {
  const ok = {
    name: 'qemu',
    description: 'runs guests',
    neededFor: ['run'],
    wanted: '7.0 or newer',
    state: 'ok',
    seen: '7.2',
  } as const;
  return { ...ok, mend: null, fix: packagesFix, ...changes };
}

describe('os-release', () => {
  test.each<[string, Family | null]>([
    ['PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n', 'debian'],
    ['ID=ubuntu\nID_LIKE=debian', 'debian'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"', 'debian'],
    ['ID=fedora', 'fedora'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"', 'fedora'],
    ['ID=arch', 'arch'],
    ['ID=manjaro\nID_LIKE=arch', 'arch'],
    ["ID='opensuse-tumbleweed'\nID_LIKE='opensuse suse'", 'suse'],
    ['ID=alpine', null],
    ['', null],
    ['not a file of this kind\n=\n', null],
  ])('%j is %s', (text, family) => {
    expect(parseOsRelease(text).family).toBe(family);
  });

  test('the name is as people know it', () => {
    expect(parseOsRelease('ID=debian\nPRETTY_NAME="Debian 13"').name).toBe('Debian 13');
    expect(parseOsRelease('').name).toBe('unknown');
  });
});

describe('what mends', () => {
  test('each package manager, without recommended packages', () => {
    const last = (family: Family) => installCommands(family, ['x'], ['sudo']).at(-1)?.join(' ');
    expect(last('debian')).toBe(
      'sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends x',
    );
    expect(last('fedora')).toBe('sudo dnf install -y --setopt=install_weak_deps=False x');
    expect(last('arch')).toBe('sudo pacman -S --needed --noconfirm x');
    expect(last('suse')).toBe('sudo zypper --non-interactive install --no-recommends x');
    expect(installCommands('debian', ['x'], [])[0]?.at(-1)).toBe('update');
  });

  test('without a package for it: where the program is', () => {
    expect(mendOf(packagesFix, UNKNOWN, [])).toBe('no package known for Plan 9; see https://example.org');
    expect(mendOf(packagesFix, { name: 'Arch Linux', family: 'arch' }, [])).toContain(
      'no package known for Arch Linux',
    );
    expect(mendOf({ kind: 'command', command: 'do this' }, UNKNOWN, [])).toBe('do this');
  });

  test('packages of all that is missing, each once', () => {
    const all = [
      diagnosis({ state: 'missing' }),
      diagnosis({ state: 'missing', fix: { ...packagesFix, packages: { debian: ['c', 'a'] } } }),
      diagnosis({ state: 'warning', fix: { ...packagesFix, packages: { debian: ['not-this'] } } }),
    ];
    expect(missingPackages(all, { name: 'Debian', family: 'debian' })).toEqual(['a', 'b', 'c']);
    expect(missingPackages(all, UNKNOWN)).toEqual([]);
  });
});

test('the table: state, seen, wanted, and what mends it', () => {
  const text = renderDiagnoses(
    [
      diagnosis({}),
      diagnosis({ name: 'virsh', state: 'missing', seen: 'not found', wanted: 'installed', mend: 'apt-get x' }),
    ],
    false,
  );
  expect(text.split('\n')).toEqual([
    '                SEEN       WANTED',
    'ok       qemu   7.2        7.0 or newer',
    'missing  virsh  not found  installed',
    '',
    'virsh (runs guests):',
    '  apt-get x',
    '',
  ]);
  expect(renderDiagnoses([diagnosis({})], true)).toContain('\u001b[32mok     \u001b[39m');
});

test('versions and memory', () => {
  expect([
    isAtLeast('7.0', [7, 0]),
    isAtLeast('10.0.2', [7, 0]),
    isAtLeast('6.2.0', [7, 0]),
    isAtLeast('20.18.1', [20, 19]),
  ]).toEqual([true, true, false, false]);
  expect(judgeMemory('MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\n')).toEqual({
    state: 'ok',
    seen: '8.2 GB, 7.2 GB of it available',
  });
  expect(judgeMemory('MemTotal: 8000000 kB\nMemAvailable: 1000000 kB\n').state).toBe('warning');
  expect(judgeMemory('MemTotal: 2000000 kB\n').state).toBe('missing');
  expect(judgeMemory('').state).toBe('warning');
});

describe('requirements of a machine', () => {
  let root: string;
  let environment: Environment;
  beforeEach(() => {
    root = dirSync({ prefix: 'nested-check-test' }).name;
    const { stdout, stderr } = process;
    environment = {
      cwd: '/',
      env: { PATH: join(root, 'bin'), XDG_CACHE_HOME: join(root, 'cache') },
      stdout,
      stderr,
      signal: new AbortController().signal,
    };
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode: 0o755 });
  };
  const look = async (name: string) =>
    (await requirements(environment, root)).find((each) => each.name === name)?.check();
  const names = async () => (await requirements(environment, root)).map(({ name }) => name);

  test('a CPU without vmx or svm needs no libvirt, and /dev/kvm is no problem', async () => {
    put('proc/cpuinfo', 'flags\t\t: fpu svm_lock\n');
    put('dev/kvm', '');
    expect(await names()).not.toContain('libvirtd');
    expect((await look('/dev/kvm'))?.seen).toBe(
      'present, but the CPU has neither vmx nor svm: the emulated host will be used',
    );
    rmSync(join(root, 'dev/kvm'));
    expect(await look('/dev/kvm')).toEqual({ state: 'ok', seen: 'absent: the emulated host will be used' });
  });

  test('a CPU that has it needs libvirt, and the nested parameter', async () => {
    put('proc/cpuinfo', 'flags\t\t: fpu vmx aes\n');
    put('dev/kvm', '');
    expect(await names()).toEqual(expect.arrayContaining(['libvirtd', 'kvm_intel nested']));
    expect((await look('kvm_intel nested'))?.seen).toBe('kvm_intel is not loaded');
    put('sys/module/kvm_intel/parameters/nested', 'N\n');
    expect(await look('kvm_intel nested')).toEqual({ state: 'warning', seen: 'N' });
    put('sys/module/kvm_intel/parameters/nested', 'Y\n');
    expect((await look('kvm_intel nested'))?.state).toBe('ok');
    const virsh = (await requirements(environment, root)).find(({ name }) => name === 'virsh');
    expect(virsh?.neededFor).toEqual(['local', 'test']);
  });

  test('programs are looked for along PATH', async () => {
    expect(await look('mmdebstrap')).toEqual({ state: 'missing', seen: 'not found' });
    put('bin/mmdebstrap', '#!/bin/sh\n');
    expect(await look('mmdebstrap')).toEqual({ state: 'ok', seen: join(root, 'bin/mmdebstrap') });
  });

  test('an old QEMU is as good as none', async () => {
    put('bin/qemu-system-x86_64', '#!/bin/sh\necho QEMU emulator version 6.2.0\n');
    expect(await look('qemu-system-x86_64')).toEqual({ state: 'missing', seen: '6.2.0' });
  });

  test('the keyring and the cache folder', async () => {
    expect((await look('debian-archive-keyring'))?.state).toBe('missing');
    put('usr/share/keyrings/debian-archive-keyring.gpg', '');
    expect((await look('debian-archive-keyring'))?.state).toBe('ok');
    expect((await look('cache folder'))?.state).toBe('ok');
  });
});
